#include "volume/sliding_window.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <random>

#include "base/error.h"

namespace orchard::volume {
namespace {

TEST(WindowStarts, AreThoseOfTheSpecification) {
  EXPECT_EQ(WindowStarts(110, 64, 0.5), (std::vector<int64_t>{0, 23, 46}));
  EXPECT_EQ(WindowStarts(64, 64, 0.5), (std::vector<int64_t>{0}));
  EXPECT_EQ(WindowStarts(65, 64, 0.5), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(WindowStarts(5, 8, 0.5), (std::vector<int64_t>{-1}));
}

TEST(GaussianWeights, PeakInTheMiddleAndNeverVanish) {
  const std::vector<float> weights = GaussianWeights(64);
  EXPECT_EQ(weights[32], 1.0f);
  EXPECT_NEAR(weights[0], 3.3546e-4, 1e-7);
  EXPECT_GT(weights[0] * weights[0] * weights[0], 3.7e-11f);
}

// A network that returns its input gives the input back, for any sizes.
RC_GTEST_PROP(WindowSum, ReproducesTheImageOfANetworkThatDoesNothing, ()) {
  Size3 size, patch;
  for (size_t a = 0; a < 3; ++a) {
    size[a] = *rc::gen::inRange<int64_t>(1, 14);
    patch[a] = *rc::gen::inRange<int64_t>(1, 9);
  }
  const double step = *rc::gen::element(0.5, 0.75, 1.0);
  const int64_t channels = *rc::gen::inRange<int64_t>(1, 3);
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  std::vector<float> image(channels * Voxels(size));
  for (float& v : image) v = static_cast<float>(random() % 1000) / 100 - 5;

  const WindowGrid grid(size, patch, step);
  ThreadPool pool(2);
  std::vector<float> result(image.size(), -99);
  int64_t next = 0;
  WindowSum sum(grid, channels, pool, [&](int64_t first, int64_t count, const float* planes) {
    RC_ASSERT(first == next);
    next = first + count;
    const int64_t plane = size[0] * size[1];
    for (int64_t c = 0; c < channels; ++c)
      std::copy(planes + c * count * plane, planes + (c + 1) * count * plane,
                result.begin() + (c * size[2] + first) * plane);
  });
  std::vector<float> window(channels * Voxels(patch));
  for (int64_t w = 0; w < grid.count(); ++w) {
    GatherPatch(image.data(), channels, size, patch, grid.Start(w), 0, window.data());
    sum.Add(window.data());
  }
  RC_ASSERT(next == size[2]);
  for (size_t v = 0; v < image.size(); ++v)
    RC_ASSERT(std::abs(result[v] - image[v]) <= 1e-6f * std::max(1.0f, std::abs(image[v])));
}

TEST(WeightSums, MultiplyToTheAccumulatedWeights) {
  const WindowGrid grid({21, 10, 13}, {8, 12, 6});
  std::vector<double> sums(Voxels(grid.size), 0);
  std::array<std::vector<float>, 3> weights, separable;
  for (size_t a = 0; a < 3; ++a) {
    weights[a] = GaussianWeights(grid.patch[a]);
    separable[a] = WeightSums(grid.starts[a], weights[a], grid.size[a]);
  }
  for (int64_t w = 0; w < grid.count(); ++w) {
    const Size3 start = grid.Start(w);
    for (int64_t v = 0; v < Voxels(grid.patch); ++v) {
      const Size3 p = {v % 8, v / 8 % 12, v / 96};
      Size3 at;
      bool inside = true;
      for (size_t a = 0; a < 3; ++a) {
        at[a] = start[a] + p[a];
        inside = inside && at[a] >= 0 && at[a] < grid.size[a];
      }
      if (inside)
        sums[IndexOf(grid.size, at[0], at[1], at[2])] +=
            double{weights[0][p[0]]} * weights[1][p[1]] * weights[2][p[2]];
    }
  }
  for (int64_t v = 0; v < Voxels(grid.size); ++v) {
    const double product =
        double{separable[0][v % 21]} * separable[1][v / 21 % 10] * separable[2][v / 210];
    EXPECT_NEAR(product, sums[v], 1e-6 * sums[v]);
  }
}

TEST(WindowSum, HoldsAsManyPlanesAsAWindow) {
  ThreadPool pool(1);
  const WindowGrid longer({16, 16, 400}, {16, 16, 16}), shorter({16, 16, 40}, {16, 16, 16});
  const auto ignore = [](int64_t, int64_t, const float*) {};
  EXPECT_EQ(WindowSum(longer, 3, pool, ignore).MemoryBytes(),
            WindowSum(shorter, 3, pool, ignore).MemoryBytes());
}

TEST(WindowGrid, RefusesEmptySizes) {
  EXPECT_THROW(WindowGrid({0, 1, 1}, {1, 1, 1}), UsageError);
  EXPECT_THROW(WindowGrid({4, 4, 4}, {4, 4, 4}, 0), UsageError);
}

}  // namespace
}  // namespace orchard::volume
