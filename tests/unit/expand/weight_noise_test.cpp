#include "expand/weight_noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "expand/lanes.h"

namespace orchard::expand {
namespace {

// Random123's known answer for key 0 at counter 0, and its bytes weighted by hand.
TEST(WeightNoise, IsTheWeightedSumOfTheBytesOfItsWord) {
  const Philox2 key = {{0, 0}};  // block 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
  EXPECT_EQ(WeightNoise(key, 0), 61 * 0x66 + 62 * 0x27 + 63 * 0xe8 + 64 * 0xd5 - 31875);
  EXPECT_EQ(WeightNoise(key, 1), 61 * 0xe1 + 62 * 0x69 + 63 * 0xc5 + 64 * 0x8d - 31875);
  EXPECT_EQ(WeightNoise(key, 2), 61 * 0xbc + 62 * 0x57 + 63 * 0xac + 64 * 0x4c - 31875);
  EXPECT_EQ(WeightNoise(key, 3), 61 * 0x9b + 62 * 0x00 + 63 * 0xdb + 64 * 0xd8 - 31875);
  EXPECT_EQ(NoiseOfWord(0), -31875);
  EXPECT_EQ(NoiseOfWord(0xFFFFFFFFu), 31875);
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
  EXPECT_NEAR(fourth / kCount, 3 - 1.2 / 4, 0.05);         // kurtosis of a sum of four uniforms
  EXPECT_NEAR(beside / kCount, 0, 5 / std::sqrt(kCount));  // neighbours share a block, not a word
  EXPECT_LT(largest, 3.46);
}

TEST(WeightNoise, ComesInRunsOfAnyLengthFromAnyPlace) {
  const Philox2 key = PhiloxKey(3, 4);
  std::vector<int32_t> room(kNoiseRoom);
  for (const uint64_t base :
       {0ull, 1ull, 2ull, 3ull, 1000001ull, (1ull << 34) - 101, ~0ull - 600}) {
    for (const int lanes : {1, 4, 63, kLanes}) {
      const int32_t* noise = NoiseLanes(key, base, lanes, room.data());
      for (int l = 0; l < lanes; ++l) ASSERT_EQ(noise[l], WeightNoise(key, base + l)) << base;
    }
  }
}

TEST(WeightNoise, IsTheSameForEveryVectorWidth) {
  const Philox2 key = PhiloxKey(5, 6);
  std::vector<int32_t> noise(kNoiseRoom);
  for (const NoiseVariant& variant : NoiseVariants()) {
    for (const uint64_t first : {0ull, 12345ull, (1ull << 32) - 5}) {
      for (const int blocks : {1, 15, 33, kLanes / 4}) {
        variant.function(key, first, blocks, noise.data());
        for (int i = 0; i < 4 * blocks; ++i) {
          ASSERT_EQ(noise[i], WeightNoise(key, 4 * first + i)) << variant.name << ' ' << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace orchard::expand
