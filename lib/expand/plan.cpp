#include "expand/plan.h"

namespace orchard::expand {

const char* Name(Method method) {
  for (const auto& entry : kMethodNames) {
    if (entry.value == method) return entry.name;
  }
  return "?";
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

}  // namespace orchard::expand
