#include "expand/flops.h"

namespace orchard::expand {

double TrainingFlopsPerToken(const SourceModel& model, int64_t context) {
  double weights = 0;
  for (const io::TensorInfo& info : model.weights.tensors()) {
    const auto match = model.architecture.Find(info.name);
    if (!match || match->rule->kind == arch::Kind::kDrop) continue;
    if (match->rule->kind == arch::Kind::kEmbedding || match->Slot() == "head.weight") continue;
    weights += static_cast<double>(info.elements());
  }
  return 6 * weights +
         12.0 * static_cast<double>(model.sizes.layers * model.sizes.hidden * context);
}

}  // namespace orchard::expand
