// What a training step costs, by the formula of flops.h, from the model in memory.
#pragma once

#include "nn/network.h"
#include "nn/sequence.h"

namespace orchard::expand {

// FLOPs of a forward and a backward pass over `batch`: rows x T times 6 N + 12 L D T per token, T
// being the length of a row (images: patches and class tokens), the rest as in flops.h. What is
// computed again to save memory is not counted. Zero for residual networks, which have no such
// formula.
double TrainingFlops(const nn::Network& model, const nn::Batch& batch);

}  // namespace orchard::expand
