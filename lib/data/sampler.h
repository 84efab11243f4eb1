// The order in which samples are used: a function of (seed, epoch, place) alone, so that a run is
// resumed by a counter and any number of ranks sees the same global batches.
#pragma once

#include <cstdint>
#include <vector>

#include "base/permutation.h"

namespace orchard::data {

using orchard::Permutation;

// One sample of the endless sequence of epochs.
struct Sample {
  int64_t position;  // place in the whole sequence, from 0
  int64_t epoch;
  int64_t index;  // which element of the data set
  friend bool operator==(const Sample&, const Sample&) = default;
};

class Sampler {
 public:
  // `repeats`: every sample comes so many times in a row and counts as another epoch each time, so
  // that it is augmented in another way; an epoch still has `count` samples, of which count /
  // repeats are different (repeated augmentation; Hoffer et al., 2020, as DeiT uses it). Throws
  // UsageError unless count and repeats are at least 1.
  Sampler(int64_t count, uint64_t seed, bool shuffle = true, int64_t repeats = 1);

  int64_t count() const { return count_; }
  // Epochs follow each other without a gap: position count() begins the second.
  Sample At(int64_t position) const;

  // The part of `rank` of the global batch that begins at `cursor`. Ranks take consecutive slices
  // of `batch` samples, so that `ranks` ranks with `batch` samples see what one rank with ranks *
  // batch samples sees, in the same order. The next cursor is cursor + ranks * batch.
  std::vector<Sample> Batch(int64_t cursor, int64_t batch, int64_t rank = 0,
                            int64_t ranks = 1) const;

 private:
  int64_t count_;
  uint64_t seed_;
  bool shuffle_;
  int64_t repeats_;
};

}  // namespace orchard::data
