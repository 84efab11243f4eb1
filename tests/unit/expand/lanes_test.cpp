#include "expand/lanes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/half.h"

namespace orchard::expand {
namespace {

template <class T>
struct Format;
template <>
struct Format<BFloat16> {
  static constexpr GridFormat kGrid = kGridBf16;
};
template <>
struct Format<Float16> {
  static constexpr GridFormat kGrid = kGridF16;
};
template <>
struct Format<float> {
  static constexpr GridFormat kGrid = kGridF32;
};
template <>
struct Format<double> {
  static constexpr GridFormat kGrid = kGridF64;
};

// Stored numbers over the whole range of exponents, zeros and subnormals included: random bits, but
// for NaN and infinity.
template <class T>
ComputeOf<T> StoredNumber(uint64_t bits);
template <>
float StoredNumber<BFloat16>(uint64_t bits) {
  return Widen(BFloat16{static_cast<uint16_t>(bits % 11 == 0 ? 0 : bits)});
}
template <>
float StoredNumber<Float16>(uint64_t bits) {
  return Widen(Float16{static_cast<uint16_t>(bits % 11 == 0 ? 0 : bits)});
}
template <>
float StoredNumber<float>(uint64_t bits) {
  return bits % 11 == 0 ? 0.0f : FloatOfBits(static_cast<uint32_t>(bits));
}
template <>
double StoredNumber<double>(uint64_t bits) {
  double value;
  memcpy(&value, &bits, 8);
  return bits % 11 == 0 ? 0.0 : value;
}

template <class T>
SplitSettings<ComputeOf<T>> Settings(double sigma) {
  return MakeSplitSettings<ComputeOf<T>>(Format<T>::kGrid, sigma);
}

template <class T>
class SplitOf : public testing::Test {};
using StoredTypes = testing::Types<BFloat16, Float16, float, double>;
TYPED_TEST_SUITE(SplitOf, StoredTypes);

// The promise of `grid`: every part is a storage number, and the parts sum to the weight with no
// rounding at all. A part that is a multiple of the spacing u of w, like its running sums, is exact
// in long double (64 bits) over these magnitudes.
TYPED_TEST(SplitOf, GridSumsExactly) {
  using Real = ComputeOf<TypeParam>;
  const auto settings = Settings<TypeParam>(0.02);
  int tried = 0;
  for (uint64_t trial = 0; trial < 60000; ++trial) {
    const Philox4 draw = PhiloxAt(PhiloxKey(3, 1), trial);
    const Real w =
        StoredNumber<TypeParam>(static_cast<uint64_t>(draw.word[0]) << 32 | draw.word[1]);
    if (!std::isfinite(w)) continue;
    ++tried;
    const int copies = 2 + static_cast<int>(draw.word[2] % 5);
    uint64_t index[8];
    for (int k = 0; k < copies; ++k) index[k] = 1000 * trial + 97 * k;
    long double sum = 0;
    for (int k = 0; k < copies; ++k) {
      const Real part = SplitElement(Split::kGrid, settings, PhiloxKey(1, 2), copies, k, index, w);
      ASSERT_EQ(static_cast<Real>(Widen(Narrow<TypeParam>(part))), part) << w;
      sum += part;
    }
    ASSERT_EQ(sum, static_cast<long double>(w)) << w << " in " << copies;
  }
  EXPECT_GT(tried, 50000);
}

TYPED_TEST(SplitOf, CancelSumsToZeroWithPartsThatDiffer) {
  using Real = ComputeOf<TypeParam>;
  const auto settings = Settings<TypeParam>(0.02);
  double squares = 0;
  for (uint64_t trial = 0; trial < 2000; ++trial) {
    const uint64_t index[3] = {trial, trial + 5000, trial + 10000};
    Real sum = 0;
    for (int k = 0; k < 3; ++k) {
      const Real part =
          SplitElement(Split::kCancel, settings, PhiloxKey(1, 2), 3, k, index, Real(0.5));
      sum += part;
      squares += static_cast<double>(part) * part;
    }
    ASSERT_EQ(sum, Real(0));
  }
  EXPECT_NEAR(std::sqrt(squares / 6000) / 0.02, std::sqrt(2.0 / 3.0),
              0.03);  // the projection's variance
}

TYPED_TEST(SplitOf, LanesAreTheElements) {
  using Real = ComputeOf<TypeParam>;
  const auto settings = Settings<TypeParam>(0.05);
  const Philox2 key = PhiloxKey(9, 9);
  for (Split split : {Split::kGrid, Split::kProjection, Split::kComplement, Split::kEqual,
                      Split::kCancel, Split::kPairs}) {
    for (int copies : {1, 2, 3, 7}) {
      std::vector<Real> weights(kLanes);
      for (int l = 0; l < kLanes; ++l) {
        weights[l] = Widen(
            Narrow<TypeParam>(static_cast<Real>(std::sin(l * 1.7) * std::pow(10.0, l % 7 - 5))));
      }
      weights[5] = 0;
      std::vector<std::vector<Real>> parts(copies, std::vector<Real>(kLanes));
      std::vector<Real*> pointers;
      std::vector<uint64_t> base;
      for (int k = 0; k < copies; ++k) {
        pointers.push_back(parts[k].data());
        base.push_back((1ull << 32) - 50 + 1000ull * k);  // crosses the 32-bit word of the counter
      }
      SplitLanes(split, settings, key, copies, base.data(), weights.data(), kLanes,
                 pointers.data());
      for (int k = 0; k < copies; ++k) {
        for (int l = 0; l < kLanes; ++l) {
          std::vector<uint64_t> index;
          for (uint64_t b : base) index.push_back(b + l);
          ASSERT_EQ(parts[k][l],
                    SplitElement(split, settings, key, copies, k, index.data(), weights[l]));
        }
      }
    }
  }
}

TYPED_TEST(SplitOf, NonFiniteWeightsKeepTheirValue) {
  using Real = ComputeOf<TypeParam>;
  const uint64_t index[2] = {0, 1};
  const Real infinity = std::numeric_limits<Real>::infinity();
  EXPECT_EQ(
      SplitElement(Split::kGrid, Settings<TypeParam>(0.02), PhiloxKey(0, 0), 2, 1, index, infinity),
      infinity);
}

TEST(Split, ProjectionHasTheVarianceOfTheProjectedNoise) {
  const auto settings = Settings<double>(0.02);
  double squares = 0;
  constexpr int kTrials = 20000;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    const uint64_t index[2] = {2 * trial, 2 * trial + 1};
    const double part =
        SplitElement(Split::kProjection, settings, PhiloxKey(4, 4), 2, 0, index, 0.3);
    squares += (part - 0.15) * (part - 0.15);
  }
  EXPECT_NEAR(std::sqrt(squares / kTrials) / 0.02, std::sqrt(0.5), 0.02);
}

TEST(Split, EqualDividesByTheCopies) {
  const uint64_t index[4] = {};
  EXPECT_EQ(SplitElement(Split::kEqual, Settings<float>(0.02), PhiloxKey(0, 0), 4, 2, index, 3.0f),
            0.75f);
}

}  // namespace
}  // namespace orchard::expand
