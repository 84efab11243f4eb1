// Target units as weighted sums of source units: the width operators of LiGO (Wang et al. 2023,
// "Learning to Grow Pretrained Models for Efficient Transformer Training"), sparse.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace orchard::expand {

// One summand of a target unit.
struct MixTerm {
  int64_t source = 0;
  double weight = 1;
  bool operator==(const MixTerm&) const = default;
};

class MixMap {
 public:
  MixMap() = default;
  // terms[t]: the summands of target unit t, sources in [0, source_size).
  MixMap(int64_t source_size, std::vector<std::vector<MixTerm>> terms);

  static MixMap Identity(int64_t size);
  // Identity, then convex combinations of two units, drawn with their weight uniformly. Two, not
  // all: the mean of many units would lose their variance.
  static MixMap Convex(int64_t source, int64_t target, uint64_t seed);
  // As the functions of the same names of AxisMap.
  static MixMap Blocks(const MixMap& units, int64_t width);
  static MixMap Concatenate(const std::vector<MixMap>& parts);

  int64_t size() const { return static_cast<int64_t>(terms_.size()); }
  int64_t source_size() const { return source_size_; }
  const std::vector<MixTerm>& operator[](int64_t target) const { return terms_[target]; }

 private:
  int64_t source_size_ = 0;
  std::vector<std::vector<MixTerm>> terms_;
};

using MixMapPtr = std::shared_ptr<const MixMap>;

}  // namespace orchard::expand
