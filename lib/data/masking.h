// Masked language modelling (Devlin et al., 2019): which tokens are hidden, and behind what.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace orchard::data {

// The label of a position that no loss is taken at.
inline constexpr int64_t kIgnoreLabel = -100;

struct MaskOptions {
  double probability = 0.15;     // of a token to be predicted
  double masked_fraction = 0.8;  // of those: replaced by `mask_id`
  double random_fraction =
      0.1;  // of those: replaced by a random token that is not special; the rest stays as it is
  int32_t mask_id = 0;
  int32_t vocabulary_size = 0;
  std::vector<int32_t> special_ids;  // never predicted, and never a random replacement
};

class Masker {
 public:
  // Throws UsageError for fractions outside [0, 1] or ids outside the vocabulary.
  Masker(MaskOptions options, uint64_t seed);

  // Hides tokens of `inputs` in place and fills `labels` with what stood there, or kIgnoreLabel.
  // The draw of each token depends on (seed, epoch, sample, place in the sample) alone.
  void Apply(int64_t epoch, int64_t sample, std::span<int64_t> inputs,
             std::span<int64_t> labels) const;

 private:
  MaskOptions options_;
  uint64_t seed_;
  std::vector<bool> special_;
  std::vector<int32_t> ordinary_;  // ids that are not special
};

}  // namespace orchard::data
