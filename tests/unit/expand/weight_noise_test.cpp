#include "expand/weight_noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "expand/lanes.h"

namespace orchard::expand {
namespace {

// Independent of the code under test: the words of Random123's known answer for key 0 at counter 0,
// and sums of their bytes by hand.
TEST(WeightNoise, IsTheCentredSumOfTheBytesOfItsWord) {
  const Philox2 key = {{0, 0}};  // block 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
  EXPECT_EQ(WeightNoise(key, 0), 0x66 + 0x27 + 0xe8 + 0xd5 - 510);
  EXPECT_EQ(WeightNoise(key, 1), 0xe1 + 0x69 + 0xc5 + 0x8d - 510);
  EXPECT_EQ(WeightNoise(key, 2), 0xbc + 0x57 + 0xac + 0x4c - 510);
  EXPECT_EQ(WeightNoise(key, 3), 0x9b + 0x00 + 0xdb + 0xd8 - 510);
  EXPECT_EQ(NoiseOfWord(0), -510);
  EXPECT_EQ(NoiseOfWord(0xFFFFFFFFu), 510);
}

TEST(WeightNoise, IsNearNormalWithUnitVariance) {
  const Philox2 key = PhiloxKey(7, 42);
  constexpr int kCount = 1 << 18;
  double sum = 0, squares = 0, fourth = 0, largest = 0, beside = 0, last = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = WeightNoise(key, static_cast<uint64_t>(i)) * kWeightNoiseUnit;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    largest = std::max(largest, std::abs(x));
    beside += x * last;
    last = x;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 0.012);
  EXPECT_NEAR(fourth / kCount, 3 - 1.2 / 4, 0.05);  // kurtosis of a sum of four uniforms
  EXPECT_NEAR(beside / kCount, 0, 5 / std::sqrt(kCount));  // neighbours share a block, not a word
  EXPECT_LT(largest, 3.46);
}

TEST(WeightNoise, ComesInRunsOfAnyLengthFromAnyPlace) {
  const Philox2 key = PhiloxKey(3, 4);
  std::vector<int32_t> room(kNoiseRoom);
  for (const uint64_t base : {0ull, 1ull, 2ull, 3ull, 1000001ull, (1ull << 34) - 101, ~0ull - 600}) {
    for (const int lanes : {1, 4, 63, kLanes}) {
      const int32_t* noise = NoiseLanes(key, base, lanes, room.data());
      for (int l = 0; l < lanes; ++l) ASSERT_EQ(noise[l], WeightNoise(key, base + l)) << base;
    }
  }
}

}  // namespace
}  // namespace orchard::expand
