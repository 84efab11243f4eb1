#include "data/masking.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"

namespace orchard::data {

Masker::Masker(MaskOptions options, uint64_t seed) : options_(std::move(options)), seed_(seed) {
  const auto in_unit = [](double x) { return x >= 0 && x <= 1; };
  if (!in_unit(options_.probability) || !in_unit(options_.masked_fraction) ||
      !in_unit(options_.random_fraction) ||
      options_.masked_fraction + options_.random_fraction > 1) {
    throw UsageError("the fractions of masked tokens must lie in [0, 1]", "data.mlm_prob");
  }
  const auto in_vocabulary = [&](int32_t id) { return id >= 0 && id < options_.vocabulary_size; };
  if (!in_vocabulary(options_.mask_id)) {
    throw UsageError("the tokenizer has no mask token", "",
                     "use a tokenizer with [MASK] or <mask>");
  }
  special_.resize(static_cast<size_t>(options_.vocabulary_size));
  for (const int32_t id : options_.special_ids) {
    if (!in_vocabulary(id)) throw UsageError("a special token lies outside the vocabulary");
    special_[id] = true;
  }
  special_[options_.mask_id] = true;
  for (int32_t id = 0; id < options_.vocabulary_size; ++id) {
    if (!special_[id]) ordinary_.push_back(id);
  }
  if (ordinary_.empty()) throw UsageError("every token of the vocabulary is special");
}

void Masker::Apply(int64_t epoch, int64_t sample, std::span<int64_t> inputs,
                   std::span<int64_t> labels) const {
  static constexpr uint64_t kPurpose = Hash64("data.masking");
  const Philox2 key =
      PhiloxKey(seed_, kPurpose + 0x9E3779B97F4A7C15ull * static_cast<uint64_t>(epoch));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t id = inputs[i];
    labels[i] = kIgnoreLabel;
    const bool special = id < 0 || id >= options_.vocabulary_size || special_[id];
    const Philox4 draw = PhiloxAt(key, i, static_cast<uint64_t>(sample));
    if (special || UniformFloat(draw.word[0]) >= options_.probability) continue;
    labels[i] = id;
    const double kind = UniformFloat(draw.word[1]);
    if (kind < options_.masked_fraction) {
      inputs[i] = options_.mask_id;
    } else if (kind < options_.masked_fraction + options_.random_fraction) {
      inputs[i] = ordinary_[static_cast<uint64_t>(draw.word[2]) * ordinary_.size() >> 32];
    }
  }
}

}  // namespace orchard::data
