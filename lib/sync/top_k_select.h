// The places of the largest elements of tensors on the CPU. The arguments are also those of the
// CUDA launcher (cuda/sync/top_k_select.h); there the pointers are device pointers. C++17, because
// .cu files read it.
#pragma once

#include <cstdint>

namespace orchard::sync {

// A tensor: `kept` in [1, count] of the elements [offset, offset + count) of the arena; their
// places go to `out` of the list.
struct TopKSegment {
  int64_t offset = 0, count = 0, kept = 0, out = 0;
};

// Places in the arena, rising. Of equal magnitudes the first in place; what is not a number counts
// as infinite. (K8)
template <class T>
struct TopKArgs {
  const T* values = nullptr;  // the arena
  const TopKSegment* segments = nullptr;
  int64_t segment_count = 0;
  int32_t* places = nullptr;
};
template <class T>
void SelectTopK(const TopKArgs<T>& args);

}  // namespace orchard::sync
