#include "expand/plan.h"

#include <nlohmann/json.hpp>

namespace orchard::expand {

const char* Name(Method method) {
  for (const auto& entry : kMethodNames) {
    if (entry.value == method) return entry.name;
  }
  return "?";
}

Json ToJson(const Sizes& s) {
  if (s.resnet) {
    return {{"channels", s.resnet->stem},
            {"width_per_group", s.resnet->inner},
            {"depths", s.resnet->blocks}};
  }
  return {{"hidden", s.hidden},     {"layers", s.layers},     {"heads", s.heads},
          {"kv_heads", s.kv_heads}, {"head_dim", s.head_dim}, {"ffn", s.ffn}};
}

int64_t Plan::parameters() const {
  int64_t sum = 0;
  for (const TensorOp& op : tensors) sum += op.elements();
  return sum;
}

int64_t Plan::bytes() const {
  int64_t sum = 0;
  for (const TensorOp& op : tensors) sum += op.elements() * io::ByteSize(op.dtype);
  return sum;
}

Plan MakePlan(const SourceModel& source, const TargetOptions& target,
              const MethodOptions& options) {
  return source.architecture.is_resnet() ? PlanResNet(source, target, options)
                                         : PlanTransformer(source, target, options);
}

}  // namespace orchard::expand
