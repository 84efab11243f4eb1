#include "expand/mix_map.h"

#include "base/hash.h"
#include "base/philox.h"

namespace orchard::expand {

MixMap::MixMap(int64_t source_size, std::vector<std::vector<MixTerm>> terms)
    : source_size_(source_size), terms_(std::move(terms)) {}

MixMap MixMap::Identity(int64_t size) { return Convex(size, size, 0); }

MixMap MixMap::Convex(int64_t source, int64_t target, uint64_t seed) {
  std::vector<std::vector<MixTerm>> terms(target);
  const Philox2 key = PhiloxKey(seed, Hash64("mix map"));
  const auto pick = [&](uint32_t word) {
    return static_cast<int64_t>(static_cast<uint64_t>(word) * static_cast<uint64_t>(source) >> 32);
  };
  for (int64_t t = 0; t < target; ++t) {
    if (t < source) {
      terms[t] = {{t, 1}};
      continue;
    }
    const Philox4 draw = PhiloxAt(key, t);
    const double weight = UniformDouble(draw.word[2], draw.word[3]);
    terms[t] = {{pick(draw.word[0]), weight}, {pick(draw.word[1]), 1 - weight}};
  }
  return MixMap(source, std::move(terms));
}

MixMap MixMap::Blocks(const MixMap& units, int64_t width) {
  std::vector<std::vector<MixTerm>> terms;
  for (int64_t t = 0; t < units.size(); ++t) {
    for (int64_t l = 0; l < width; ++l) {
      terms.emplace_back();
      for (const MixTerm& term : units[t])
        terms.back().push_back({term.source * width + l, term.weight});
    }
  }
  return MixMap(units.source_size() * width, std::move(terms));
}

MixMap MixMap::Concatenate(const std::vector<MixMap>& parts) {
  std::vector<std::vector<MixTerm>> terms;
  int64_t offset = 0;
  for (const MixMap& part : parts) {
    for (int64_t t = 0; t < part.size(); ++t) {
      terms.push_back(part[t]);
      for (MixTerm& term : terms.back()) term.source += offset;
    }
    offset += part.source_size();
  }
  return MixMap(offset, std::move(terms));
}

}  // namespace orchard::expand
