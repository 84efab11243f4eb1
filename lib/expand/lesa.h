// LESA: new layers whose matrices a small network predicts from the layers before and after them.
// The predictions are written beside the model first; the expansion then streams them like any
// other source tensor. Source: Yang et al. (2025), "LESA: Learnable LLM Layer Scaling-Up", and its
// public code, which the details follow where the two differ.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "expand/plan.h"

namespace orchard {
class ScratchDirectory;
}  // namespace orchard

namespace orchard::expand {

struct LesaOptions {
  int64_t epochs = 10;
  uint64_t seed = 0;
  int threads = 1;                  // kinds of matrices at the same time, as far as memory allows
  int64_t max_ram = 1'000'000'000;  // bytes
  std::filesystem::path scratch;  // for the predictions until they are written; empty: the system's
  std::function<void(std::string_view kind)> on_start;  // one call at a time
};

// What was learnt about one kind of matrix ("q", "fc1").
struct LesaKind {
  std::string name;                 // of the tensor in the first layer
  int64_t directions = 0;           // singular directions that all layers share
  double first_loss = 0, loss = 0;  // mean over the batches of the first and of the last epoch
  // |V - prediction| / |V| of known layers in the last epoch, and the same for a copy of the layer
  // before in place of a prediction: where it is the smaller one, little was learnt.
  double prediction_error = 0, copy_error = 0;
};

struct LesaResult {
  SourceModel source;  // with the predicted matrices among its tensors
  Plan plan;           // that copies them
  std::vector<LesaKind> kinds;
  std::shared_ptr<const ScratchDirectory> files;  // holds them until here
};

// Predicts the matrices of the new layers of a plan of --method lesa; their norms and biases become
// the means of the two neighbours'. The same bits for any number of threads on one machine. Throws
// ImpossibleError for tensors that are no matrices, ResourceError where one kind of matrix needs
// more than max_ram: 32 rows^2 + 24 rows columns bytes and the network's 12 (1000 columns +
// 100,000).
LesaResult PredictLayers(const SourceModel& source, const Plan& plan, const LesaOptions& options);

}  // namespace orchard::expand
