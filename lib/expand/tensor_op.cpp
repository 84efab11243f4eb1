#include "expand/tensor_op.h"

#include <functional>
#include <numeric>

namespace orchard::expand {

const char* Name(Exactness exactness) {
  switch (exactness) {
    case Exactness::kExact:
      return "A";
    case Exactness::kNormRounded:
      return "A'";
    case Exactness::kRounded:
      return "B";
    default:
      return "C";
  }
}

int64_t TensorOp::elements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

int64_t TensorOp::block_units() const {
  if (kind == OpKind::kMix) return transposed ? mix_columns->size() : mix_rows->size();
  if (kind != OpKind::kMatrix) return elements();
  return transposed ? columns->size() : rows->size();
}

}  // namespace orchard::expand
