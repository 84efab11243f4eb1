#include "sync/arena.h"

#include <set>

#include "base/error.h"
#include "base/hash.h"

namespace orchard::sync {

ArenaLayout::ArenaLayout(const std::vector<TensorShape>& tensors) {
  std::set<std::string> names;
  for (const TensorShape& tensor : tensors) {
    if (!names.insert(tensor.name).second) throw UsageError("two tensors of one name", tensor.name);
    int64_t count = 1;
    for (const int64_t side : tensor.shape) count *= side;
    slots_.push_back({tensor.name, tensor.shape, size_, count});
    elements_ += count;
    size_ += (count + kPadding - 1) / kPadding * kPadding;
  }
  if (elements_ == 0) throw UsageError("the model has nothing to train");
}

std::string ArenaLayout::Digest() const {
  std::string text;
  for (const Slot& slot : slots_) {
    text += slot.name + '[';
    for (const int64_t side : slot.shape) text += std::to_string(side) + ',';
    text += "]@" + std::to_string(slot.offset) + ';';
  }
  return Sha256Hex(std::as_bytes(std::span(text)));
}

}  // namespace orchard::sync
