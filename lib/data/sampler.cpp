#include "data/sampler.h"

#include "base/error.h"
#include "base/hash.h"

namespace orchard::data {
Sampler::Sampler(int64_t count, uint64_t seed, bool shuffle, int64_t repeats)
    : count_(count), seed_(seed), shuffle_(shuffle), repeats_(repeats) {
  if (repeats < 1) throw UsageError("a sample comes once at least", "data.repeats");
  if (count < 1) throw UsageError("the data set is empty", "", "give more data or a smaller block");
}

Sample Sampler::At(int64_t position) const {
  const int64_t pass = position / count_, in_pass = position % count_;
  const int64_t place = in_pass / repeats_, epoch = pass * repeats_ + in_pass % repeats_;
  if (!shuffle_) return {position, epoch, place};
  static constexpr uint64_t kPurpose = Hash64("data.sampler");
  const Permutation order(count_, seed_, kPurpose, static_cast<uint64_t>(pass));
  return {position, epoch, order(place)};
}

std::vector<Sample> Sampler::Batch(int64_t cursor, int64_t batch, int64_t rank,
                                   int64_t ranks) const {
  if (batch < 1 || rank < 0 || rank >= ranks) throw UsageError("bad batch size or rank");
  std::vector<Sample> samples;
  samples.reserve(static_cast<size_t>(batch));
  for (int64_t i = 0; i < batch; ++i) samples.push_back(At(cursor + rank * batch + i));
  return samples;
}

}  // namespace orchard::data
