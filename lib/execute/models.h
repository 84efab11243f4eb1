// Models made up for benchmarks and tests, as TorchScript files with random weights.
#pragma once

#include <filesystem>

#include "execute/options.h"

namespace orchard::execute {

struct ModelFacts {
  int64_t parameters = 0;
};

// Writes the model with the shapes of its inputs. The weights are functions of the seed.
//
//   two-tower         two MLPs of `layers` layers on two inputs [batch, width], and the dot product
//                     of what comes out
//   chain             one MLP
//   inception-v3      Szegedy et al., 2016, evaluation mode, without the auxiliary head; input
//                     [batch, 3, 299, 299]
//   transformer-base  Vaswani et al., 2017: 6 + 6 layers of 512, 8 heads; two inputs of token ids
//   gnmt              Wu et al., 2016: `layers` + `layers` of `width`, attention; the same inputs
ModelFacts WriteModel(const std::filesystem::path& path, const ModelOptions& options,
                      uint64_t seed);

}  // namespace orchard::execute
