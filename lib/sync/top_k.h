// The largest elements of every tensor, and the mean over ranks of sparse vectors whose places
// differ.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "sync/arena.h"
#include "sync/device.h"
#include "sync/top_k_select.h"

namespace orchard::sync {

class TopK {
 public:
  // Of each tensor max(1, round(elements / ratio)).
  //   device  that selects; it must outlive this
  TopK(const ArenaLayout& layout, double ratio, const Device& device = Device::Cpu());

  int64_t count() const { return count_; }  // elements of all tensors that are kept

  // Their places in the arena, rising. Of equal magnitudes the first in place; what is not a number
  // counts as infinite.
  template <class T>
  void Select(std::span<const T> values, std::vector<int32_t>& places) const;

 private:
  std::vector<TopKSegment> segments_;  // one per tensor
  int64_t count_ = 0;
  const Device* device_;
};

// Sparse vectors of all ranks, each with the same number of elements: gathered as (places, values),
// added in rank order.
template <class T>
class SparseMean {
 public:
  explicit SparseMean(int64_t arena_size) : sum_(arena_size) {}

  static int64_t MessageBytes(int64_t count) {
    return count * static_cast<int64_t>(sizeof(int32_t) + sizeof(T));
  }

  // target += scale * mean over ranks of the vector with `values` at `places`.
  void Add(std::span<const int32_t> places, std::span<const T> values, T scale, std::span<T> target,
           comm::Communicator& ranks);

 private:
  FlatBuffer<T> sum_;  // zero between calls
  std::vector<std::byte> own_, all_;
};

}  // namespace orchard::sync
