#include "expand/lanes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/half.h"

namespace orchard::expand {
namespace {

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
  return MakeSplitSettings<ComputeOf<T>>(GridOf<T>(), sigma);
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

// Weights of a run: every exponent of the format, both zeros, or a NaN among them.
template <class T>
std::vector<T> RunOfWeights(uint64_t run, int lanes) {
  std::vector<T> weights;
  while (static_cast<int>(weights.size()) < lanes) {
    const Philox4 draw = PhiloxAt(PhiloxKey(21, run), weights.size());
    const uint64_t bits = static_cast<uint64_t>(draw.word[0]) << 32 | draw.word[1];
    ComputeOf<T> w = StoredNumber<T>(bits);
    // Most runs hold weights of ordinary size, the third is over all exponents.
    if (run % 3 != 2 || !std::isfinite(w)) {
      w = static_cast<ComputeOf<T>>((static_cast<double>(draw.word[2]) / 4294967296.0 - 0.5) *
                                    std::pow(10.0, static_cast<double>(draw.word[3] % 7) - 5.0));
    }
    weights.push_back(Narrow<T>(w));
  }
  using Real = ComputeOf<T>;
  weights[0] = Narrow<T>(Real(0));
  if (lanes > 1) weights[1] = Narrow<T>(-Real(0));
  if (run % 5 == 4) weights[lanes / 2] = Narrow<T>(std::numeric_limits<Real>::quiet_NaN());
  return weights;
}

// Runs of any length at any place, with any number of copies, some of them not wanted.
TYPED_TEST(SplitOf, LanesAreTheElements) {
  using T = TypeParam;
  using Real = ComputeOf<T>;
  const Philox2 key = PhiloxKey(9, 9);
  uint64_t run = 0;
  for (const double sigma : {0.05, 0.0, 1e-30}) {
    const auto settings = Settings<T>(sigma);
    for (Split split : {Split::kGrid, Split::kProjection, Split::kComplement, Split::kEqual,
                        Split::kCancel, Split::kPairs}) {
      for (int copies : {1, 2, 3, 4, 5, 7}) {
        for (int lanes : {kLanes, 37, 1}) {
          const std::vector<T> weights = RunOfWeights<T>(++run, lanes);
          std::vector<std::vector<T>> parts(copies, std::vector<T>(lanes));
          std::vector<T*> pointers;
          std::vector<uint64_t> base;
          for (int k = 0; k < copies; ++k) {
            pointers.push_back(run % 4 == 3 && k == 1 ? nullptr : parts[k].data());
            // Crosses the 32-bit word of the counter, at all places within a block.
            base.push_back((1ull << 34) - 50 + 1001ull * k + run % 4);
          }
          SplitLanes<T>(split, settings, key, copies, base.data(), weights.data(), lanes,
                        pointers.data());
          for (int k = 0; k < copies; ++k) {
            for (int l = 0; l < lanes && pointers[k]; ++l) {
              std::vector<uint64_t> index;
              for (uint64_t b : base) index.push_back(b + l);
              const T expected = Narrow<T>(SplitElement<Real>(split, settings, key, copies, k,
                                                              index.data(), Widen(weights[l])));
              ASSERT_EQ(memcmp(&parts[k][l], &expected, sizeof(T)), 0)
                  << "split " << static_cast<int>(split) << ", copy " << k << " of " << copies
                  << ", lane " << l << ", weight " << Widen(weights[l]) << ": "
                  << Widen(parts[k][l]) << " for " << Widen(expected);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(SplitOf, PadLanesAreTheElements) {
  using T = TypeParam;
  const Philox2 key = PhiloxKey(8, 1);
  const auto unit = static_cast<ComputeOf<T>>(0.02 * kWeightNoiseUnit);
  for (const uint64_t base : {0ull, 5ull, (1ull << 34) - 3}) {
    for (const int64_t count : {1, 3, 64, 700}) {
      std::vector<T> values(count);
      PadLanes<T>(unit, key, base, count, values.data());
      for (int64_t i = 0; i < count; ++i) {
        const T expected = Narrow<T>(PadElement(unit, key, base + i));
        ASSERT_EQ(memcmp(&values[i], &expected, sizeof(T)), 0) << base << ' ' << i;
      }
    }
  }
}

TYPED_TEST(SplitOf, FiniteMeansNoNaNAndNoInfinity) {
  using T = TypeParam;
  using Real = ComputeOf<T>;
  std::vector<T> values(333, Narrow<T>(Real(-1.5)));
  EXPECT_TRUE(AllFinite(values.data(), 333));
  for (const Real bad :
       {std::numeric_limits<Real>::infinity(), -std::numeric_limits<Real>::infinity(),
        std::numeric_limits<Real>::quiet_NaN()}) {
    for (const int at : {0, 200, 332}) {
      std::vector<T> one = values;
      one[at] = Narrow<T>(bad);
      EXPECT_FALSE(AllFinite(one.data(), 333)) << bad << " at " << at;
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
