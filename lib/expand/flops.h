// What training a model costs, by the formula that budgets are usually counted in.
#pragma once

#include "expand/plan.h"

namespace orchard::expand {

// 6 N + 12 L D T floating-point operations per token, forward and backward, with N the weights
// outside embeddings and output head (a mixture of experts counts all of its experts), L layers of
// width D, and T tokens of context. Source: Kaplan et al. (2020); the second term is attention's.
double TrainingFlopsPerToken(const SourceModel& model, int64_t context);

}  // namespace orchard::expand
