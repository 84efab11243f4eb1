// The moves of refinement: operators that change their device together.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "place/granularity.h"
#include "place/plan.h"

namespace orchard::place {

// Random numbers of one chain: block k of a stream, then block k + 1. The next block is all there
// is to store.
class RandomWords {
 public:
  RandomWords(uint64_t seed, uint64_t stream, uint64_t next_block);

  uint32_t Word() {
    if (at_ == 4) {
      block_ = PhiloxAt(key_, next_block_++, stream_);
      at_ = 0;
    }
    return block_.word[at_++];
  }
  int32_t Below(int32_t n) {
    return static_cast<int32_t>(static_cast<uint64_t>(Word()) * static_cast<uint64_t>(n) >> 32);
  }
  double Uniform() { return UniformDouble(Word(), Word()); }
  uint64_t next_block() const { return next_block_; }

 private:
  Philox2 key_;
  uint64_t stream_, next_block_;
  Philox4 block_{};
  int at_ = 4;
};

class MoveMaker {
 public:
  MoveMaker(const Problem& problem, RandomWords& random)
      : devices_(problem.cluster.size()), random_(random), seen_(problem.ops.size(), 0) {}

  // Each level is as likely as any other.
  const MoveUnits& AnyLevel(const Granularity& units) {
    return units.levels[random_.Below(static_cast<int32_t>(units.levels.size()))];
  }
  // Moves one unit to a device, a region of 1 to 64 units around it, or it to the device of a
  // neighbour: 25, 50 and 25 %. Leaves the operators that moved, and where they were, in `moved`;
  // false when that is nothing.
  bool Move(const MoveUnits& units, std::vector<int32_t>& device);
  const std::vector<std::pair<int32_t, int32_t>>& moved() const { return moved_; }
  void Undo(std::vector<int32_t>& device) const;

 private:
  void Region(const MoveUnits& units, const std::vector<int32_t>& device, int32_t unit,
              int32_t size);

  int32_t devices_;
  RandomWords& random_;
  std::vector<int64_t> seen_;
  int64_t stamp_ = 0;
  std::vector<int32_t> region_;
  std::vector<std::pair<int32_t, int32_t>> moved_;
};

}  // namespace orchard::place
