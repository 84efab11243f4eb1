#include "base/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>

namespace orchard {
namespace {

using Words = std::array<uint32_t, 4>;

Words Block(Philox2 key, Philox4 counter) {
  const Philox4 block = Philox(key, counter);
  return {block.word[0], block.word[1], block.word[2], block.word[3]};
}

// The known-answer vectors of philox4x32 with 10 rounds that the Random123 library is checked with.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(Block({{0, 0}}, {{0, 0, 0, 0}}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Block({{0xffffffff, 0xffffffff}}, {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Block({{0xa4093822, 0x299f31d0}}, {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, NoiseIsNearNormalWithUnitVariance) {
  const Philox2 key = PhiloxKey(7, 42);
  constexpr int kCount = 1 << 18;
  double sum = 0, squares = 0, fourth = 0, largest = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = NoiseInteger(PhiloxAt(key, i)) * kNoiseUnit;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    largest = std::max(largest, std::abs(x));
  }
  const double variance = squares / kCount;
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(variance, 1, 0.012);
  EXPECT_NEAR(fourth / kCount, 3 - 1.2 / 8, 0.06);  // kurtosis of a sum of eight uniforms
  EXPECT_LT(largest, 4.9);
}

TEST(Philox, KeysOfCloseSeedsAreUnrelated) {
  const Philox2 a = PhiloxKey(1, 5), b = PhiloxKey(2, 5), c = PhiloxKey(1, 6);
  EXPECT_NE(a.word[0], b.word[0]);
  EXPECT_NE(a.word[0], c.word[0]);
  EXPECT_NE(a.word[1], b.word[1]);
}

}  // namespace
}  // namespace orchard
