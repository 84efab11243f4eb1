#include "comm/reduce.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/half.h"

namespace orchard::comm {
namespace {

template <class T, class Out>
std::vector<Out> Sum(io::DType dtype, io::DType out_type,
                     const std::vector<std::vector<T>>& parts) {
  std::vector<const std::byte*> pointers;
  for (const auto& part : parts)
    pointers.push_back(reinterpret_cast<const std::byte*>(part.data()));
  std::vector<Out> out(parts[0].size());
  SumInRankOrder(dtype, pointers, {out.data(), static_cast<int64_t>(out.size()), out_type});
  return out;
}

TEST(SumInRankOrder, AddsFromRankZeroUp) {
  // (1e8 + -1e8) + 1 = 1, but 1e8 + (-1e8 + 1) = 0 in float.
  const std::vector<std::vector<float>> parts = {{1e8f}, {-1e8f}, {1.0f}};
  EXPECT_EQ((Sum<float, float>(io::DType::kF32, io::DType::kF32, parts)), std::vector{1.0f});
  const std::vector<std::vector<float>> other = {{1.0f}, {1e8f}, {-1e8f}};
  EXPECT_EQ((Sum<float, float>(io::DType::kF32, io::DType::kF32, other)), std::vector{0.0f});
}

TEST(SumInRankOrder, RoundsBFloat16OnceAtTheEnd) {
  // 256 + 1 + 1 is 258 when summed in float; summed in bf16 each 1 would be lost.
  const BFloat16 big = Narrow<BFloat16>(256.0f), one = Narrow<BFloat16>(1.0f);
  const auto sum =
      Sum<BFloat16, BFloat16>(io::DType::kBF16, io::DType::kBF16, {{big}, {one}, {one}});
  EXPECT_EQ(Widen(sum[0]), 258.0f);
}

TEST(SumInRankOrder, SaturatesInt8) {
  const std::vector<std::vector<int8_t>> parts = {{100, -100, 3}, {100, -100, -5}};
  EXPECT_EQ((Sum<int8_t, int8_t>(io::DType::kI8, io::DType::kI8, parts)),
            (std::vector<int8_t>{127, -128, -2}));
}

TEST(SumInRankOrder, WidensInt8ToFloatWithoutLoss) {
  const std::vector<std::vector<int8_t>> parts = {{100, -100}, {100, -128}};
  EXPECT_EQ((Sum<int8_t, float>(io::DType::kI8, io::DType::kF32, parts)),
            (std::vector<float>{200, -228}));
}

TEST(SumInRankOrder, KeepsNanAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto sum = Sum<float, float>(io::DType::kF32, io::DType::kF32, {{inf, inf}, {1, -inf}});
  EXPECT_EQ(sum[0], inf);
  EXPECT_TRUE(std::isnan(sum[1]));
}

TEST(SumInRankOrder, RefusesTypesThatCannotBeSummed) {
  const std::vector<std::vector<uint8_t>> bytes = {{1}, {2}};
  EXPECT_THROW((Sum<uint8_t, uint8_t>(io::DType::kU8, io::DType::kU8, bytes)), Error);
  const std::vector<std::vector<double>> doubles = {{1}, {2}};
  EXPECT_THROW((Sum<double, float>(io::DType::kF64, io::DType::kF32, doubles)), Error);
}

RC_GTEST_PROP(ChunkOf, ChunksTileTheBufferAndDifferByAtMostOne, ()) {
  const int64_t count = *rc::gen::inRange<int64_t>(0, 1000);
  const int size = *rc::gen::inRange(1, 20);
  int64_t end = 0;
  for (int r = 0; r < size; ++r) {
    const Range chunk = ChunkOf(count, size, r);
    RC_ASSERT(chunk.begin == end);
    RC_ASSERT(chunk.size() == count / size || chunk.size() == count / size + 1);
    end = chunk.end;
  }
  RC_ASSERT(end == count);
}

}  // namespace
}  // namespace orchard::comm
