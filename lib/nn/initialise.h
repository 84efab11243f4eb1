// A model from scratch: which tensors an architecture has for a configuration and a task, and their
// initial values.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "arch/architecture.h"
#include "nn/parameters.h"

namespace orchard::nn {

// What a model is made to predict; decides which optional heads exist.
enum class Task {
  kFeatures,      // hidden states; names carry no prefix, as in the base classes of transformers
  kNextToken,     // decoders
  kMaskedTokens,  // encoders with a masked-language-model head
  kClassify       // a classifier over `classes`
};

struct InitialiseOptions {
  Task task = Task::kNextToken;
  int64_t classes = 0;  // of Task::kClassify
  uint64_t seed = 0;
  at::ScalarType dtype = at::kFloat;
};

// Matrices, embeddings and position tables normal with the configuration's `initializer_range`
// (GPT-2's residual projections divided by sqrt(2 layers)), biases 0, gains 1, LayerScale at its
// configured value. Values are keyed by seed and tensor name. Throws DataError and ImpossibleError
// as `ParseTransformerConfig`, UsageError when the task does not fit the architecture.
Parameters InitialiseTransformer(const arch::Architecture& architecture, const arch::Json& config,
                                 const InitialiseOptions& options);

}  // namespace orchard::nn
