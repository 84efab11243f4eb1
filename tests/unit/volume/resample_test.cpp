#include "volume/resample.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <random>

#include "volume/resize.h"

namespace orchard::volume {
namespace {

constexpr Interpolation3 kAllLinear = {Interpolation::kLinear, Interpolation::kLinear,
                                       Interpolation::kLinear};
constexpr Interpolation3 kAllCubic = {Interpolation::kCubic, Interpolation::kCubic,
                                      Interpolation::kCubic};
constexpr Interpolation3 kAllNearest = {Interpolation::kNearest, Interpolation::kNearest,
                                        Interpolation::kNearest};

std::vector<float> Noise(const Size3& size, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(Voxels(size));
  for (float& v : values) v = uniform(random);
  return values;
}

TEST(Resize, KeepsAPlaneInTheInteriorAPlane) {
  const Size3 from = {20, 18, 16}, to = {33, 27, 40};
  std::vector<float> plane(Voxels(from));
  for (int64_t v = 0; v < Voxels(from); ++v)
    plane[v] = static_cast<float>(2 * (v % 20) - 3 * (v / 20 % 18) + 5 * (v / 360));
  ThreadPool pool(2);
  for (const Interpolation3& how : {kAllLinear, kAllCubic}) {
    const std::vector<float> resized = Resize(plane, from, to, how, pool);
    for (int64_t k = 16; k < 24; ++k)
      for (int64_t j = 11; j < 16; ++j)
        for (int64_t i = 14; i < 19; ++i) {
          const double x = (i + 0.5) * 20 / 33 - 0.5, y = (j + 0.5) * 18 / 27 - 0.5;
          const double z = (k + 0.5) * 16 / 40 - 0.5;
          EXPECT_NEAR(resized[IndexOf(to, i, j, k)], 2 * x - 3 * y + 5 * z, 5e-3);
        }
  }
}

RC_GTEST_PROP(Resize, KeepsConstants, ()) {
  const auto draw = [] { return *rc::gen::inRange<int64_t>(1, 9); };
  const Size3 from = {draw(), draw(), draw()}, to = {draw(), draw(), draw()};
  ThreadPool pool(1);
  for (const Interpolation3& how : {kAllLinear, kAllCubic, kAllNearest})
    for (float v : Resize(std::vector<float>(Voxels(from), 3.25f), from, to, how, pool))
      RC_ASSERT(std::abs(v - 3.25f) < 1e-5f);
}

TEST(Resize, GivesTheSameForAnyNumberOfThreads) {
  const Size3 from = {13, 9, 7}, to = {20, 5, 11};
  const std::vector<float> values = Noise(from, 1);
  ThreadPool one(1), three(3);
  EXPECT_EQ(Resize(values, from, to, kAllCubic, one), Resize(values, from, to, kAllCubic, three));
}

// The spline passes through the voxels.
TEST(Resample, CubicCoefficientsInterpolate) {
  const Size3 size = {9, 8, 7};
  const std::vector<float> values = Noise(size, 2);
  ThreadPool pool(2);
  const std::vector<float> coefficients = CubicCoefficients(values, size, pool);
  std::vector<float> back(values.size());
  Resample({.from = size,
            .to = size,
            .interpolation = Interpolation::kCubic,
            .source = coefficients.data(),
            .result = back.data()},
           pool);
  for (int64_t v = 0; v < Voxels(size); ++v) {
    const int64_t i = v % 9, j = v / 9 % 8, k = v / 72;
    // Outermost voxels need the coefficient one further out, which the gather does not have.
    if (i == 0 || j == 0 || k == 0 || i == 8 || j == 7 || k == 6) continue;
    EXPECT_NEAR(back[v], values[v], 2e-5);
  }
}

TEST(Resample, MovesWholeVoxelsExactly) {
  const Size3 from = {6, 5, 4}, to = {4, 3, 2};
  const std::vector<float> values = Noise(from, 3);
  ThreadPool pool(1);
  for (Interpolation how : {Interpolation::kNearest, Interpolation::kLinear}) {
    std::vector<float> result(Voxels(to));
    ResampleArgs args{.from = from, .to = to, .interpolation = how};
    // Axes 0 and 1 swapped, axis 0 backwards, one voxel off along k.
    args.map = {{{0, -1, 0, 4}, {1, 0, 0, 1}, {0, 0, 1, 1}}};
    args.source = values.data();
    args.result = result.data();
    Resample(args, pool);
    for (int64_t k = 0; k < 2; ++k)
      for (int64_t j = 0; j < 3; ++j)
        for (int64_t i = 0; i < 4; ++i)
          EXPECT_EQ(result[IndexOf(to, i, j, k)], values[IndexOf(from, 4 - j, i + 1, k + 1)]);
  }
}

TEST(Resample, FillsWhatLiesOutside) {
  const std::vector<float> values = {1, 2};
  std::vector<float> result(6);
  ThreadPool pool(1);
  ResampleArgs args{.from = {2, 1, 1}, .to = {6, 1, 1}, .outside = -9};
  args.map.m[0][3] = -2;
  args.source = values.data();
  args.result = result.data();
  Resample(args, pool);
  EXPECT_EQ(result, (std::vector<float>{-9, -9, 1, 2, -9, -9}));
  args.continue_edges = true;
  Resample(args, pool);
  EXPECT_EQ(result, (std::vector<float>{1, 1, 1, 2, 2, 2}));
}

// One-hot volumes, resized and compared, are what ResizeLabels stands for.
RC_GTEST_PROP(ResizeLabels, IsTheLargestOfResizedOneHots, ()) {
  const auto draw = [] { return *rc::gen::inRange<int64_t>(1, 7); };
  const Size3 from = {draw(), draw(), draw()}, to = {2 * draw(), draw(), draw()};
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  std::vector<uint8_t> labels(Voxels(from));
  for (uint8_t& label : labels) label = static_cast<uint8_t>(random() % 3);
  ThreadPool pool(1);
  const auto resized = ResizeLabels(std::span<const uint8_t>(labels), from, to, kAllLinear, pool);
  std::vector<std::vector<float>> share;
  for (uint8_t c = 0; c < 3; ++c) {
    std::vector<float> hot(labels.size());
    for (size_t v = 0; v < labels.size(); ++v) hot[v] = labels[v] == c ? 1 : 0;
    share.push_back(Resize(hot, from, to, kAllLinear, pool));
  }
  for (size_t v = 0; v < resized.size(); ++v)
    for (uint8_t c = 0; c < 3; ++c) RC_ASSERT(share[resized[v]][v] >= share[c][v] - 1e-5f);
}

TEST(ResizeLabels, BackAndForthByAFactorIsTheSame) {
  const Size3 from = {5, 4, 3}, to = {15, 12, 9};
  std::mt19937 random(5);
  std::vector<uint16_t> labels(Voxels(from));
  for (uint16_t& label : labels) label = static_cast<uint16_t>(random() % 400);
  ThreadPool pool(1);
  const auto large = ResizeLabels(std::span<const uint16_t>(labels), from, to, kAllNearest, pool);
  EXPECT_EQ(ResizeLabels(std::span<const uint16_t>(large), to, from, kAllNearest, pool), labels);
}

}  // namespace
}  // namespace orchard::volume
