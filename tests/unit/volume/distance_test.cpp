#include "volume/distance.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"

namespace orchard::volume {
namespace {

constexpr double kFar = std::numeric_limits<double>::infinity();

// Every pair of voxels.
std::vector<double> Brute(const std::vector<uint8_t>& labels, const Size3& size, const Spacing3& w,
                          bool border) {
  std::vector<double> squared(labels.size(), kFar);
  const auto lengths = [&](int64_t di, int64_t dj, int64_t dk) {
    const double x = w[0] * std::abs(static_cast<double>(di));
    const double y = w[1] * std::abs(static_cast<double>(dj));
    const double z = w[2] * std::abs(static_cast<double>(dk));
    return x * x + y * y + z * z;
  };
  for (int64_t v = 0; v < Voxels(size); ++v) {
    const int64_t p[3] = {v % size[0], v / size[0] % size[1], v / size[0] / size[1]};
    if (labels[v] == 0) squared[v] = 0;
    for (int64_t u = 0; u < Voxels(size); ++u) {
      if (labels[u] == labels[v]) continue;
      const int64_t q[3] = {u % size[0], u / size[0] % size[1], u / size[0] / size[1]};
      squared[v] = std::min(squared[v], lengths(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
    }
    for (size_t a = 0; border && labels[v] != 0 && a < 3; ++a) {
      const double out = w[a] * static_cast<double>(std::min(p[a] + 1, size[a] - p[a]));
      squared[v] = std::min(squared[v], out * out);
    }
  }
  return squared;
}

template <class T>
std::vector<T> Distances(const std::vector<uint8_t>& labels, const Size3& size,
                         const Spacing3& spacing, bool border, int threads = 2) {
  std::vector<T> squared(labels.size(), T(-1));
  ThreadPool pool(threads);
  SquaredDistances<uint8_t, T>({.size = size,
                                .spacing = spacing,
                                .border = border,
                                .labels = labels.data(),
                                .squared = squared.data()},
                               pool);
  return squared;
}

constexpr Spacing3 kSpacings[] = {{1, 1, 1}, {0.7, 0.7, 5}, {3, 0.25, 1.1}};

RC_GTEST_PROP(SquaredDistances, AreThoseOfAllPairs, ()) {
  const auto draw = [] { return *rc::gen::inRange<int64_t>(1, 13); };
  const Size3 size = {draw(), draw(), draw()};
  const Spacing3 spacing =
      *rc::gen::elementOf(std::vector<Spacing3>(std::begin(kSpacings), std::end(kSpacings)));
  const bool border = *rc::gen::arbitrary<bool>();
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  const unsigned kinds = *rc::gen::inRange(1, 4), rare = *rc::gen::inRange(1, 40);
  std::vector<uint8_t> labels(Voxels(size), 1);
  for (uint8_t& label : labels)
    if (random() % rare == 0) label = static_cast<uint8_t>(random() % (kinds + 1));
  const std::vector<double> expected = Brute(labels, size, spacing, border);
  RC_ASSERT(Distances<double>(labels, size, spacing, border) == expected);
  const std::vector<float> single = Distances<float>(labels, size, spacing, border);
  for (size_t v = 0; v < labels.size(); ++v) {
    RC_ASSERT(single[v] == expected[v] || std::abs(single[v] - expected[v]) <= 1e-6 * expected[v]);
  }
}

// Long lines with few borders, where the search gives up.
TEST(SquaredDistances, AreExactFarFromAnyBorder) {
  const Size3 size = {3, 700, 2};
  std::vector<uint8_t> labels(Voxels(size), 1);
  for (int64_t at : {5, 1700, 2900, 4100}) labels[at] = 0;
  const std::vector<double> expected = Brute(labels, size, {1, 1.5, 40}, false);
  EXPECT_EQ(Distances<double>(labels, size, {1, 1.5, 40}, false), expected);
  const std::vector<float> single = Distances<float>(labels, size, {1, 1.5, 40}, false);
  for (size_t v = 0; v < labels.size(); ++v)
    EXPECT_NEAR(single[v], expected[v], 1e-6 * expected[v]);
}

TEST(SquaredDistances, AreInfiniteWithoutAnotherLabel) {
  for (double d : Distances<double>(std::vector<uint8_t>(60, 3), {5, 4, 3}, {1, 1, 1}, false))
    EXPECT_EQ(d, kFar);
}

TEST(SquaredDistances, DoNotDependOnThreads) {
  const Size3 size = {40, 33, 21};
  std::mt19937 random(1);
  std::vector<uint8_t> labels(Voxels(size));
  for (uint8_t& label : labels) label = random() % 50 == 0 ? 0 : 1;
  EXPECT_EQ(Distances<float>(labels, size, {1, 2, 3}, true, 1),
            Distances<float>(labels, size, {1, 2, 3}, true, 4));
}

RC_GTEST_PROP(SquaredDistancesAt, AreTheValuesOfTheWholeVolume, ()) {
  const auto draw = [] { return *rc::gen::inRange<int64_t>(1, 12); };
  const Size3 size = {draw(), draw(), draw()};
  const Spacing3 spacing = {0.9, 1.3, 2.7};
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  const unsigned rare = *rc::gen::inRange(1, 60);
  std::vector<uint8_t> mask(Voxels(size));
  for (uint8_t& m : mask) m = random() % rare == 0 ? 0 : 1;
  std::vector<int64_t> where;
  for (int64_t v = 0; v < Voxels(size); v += 1 + static_cast<int64_t>(random() % 5))
    where.push_back(v);
  ThreadPool pool(2);
  const std::vector<double> all = Distances<double>(mask, size, spacing, false);
  const std::vector<double> some = SquaredDistancesAt(mask, size, spacing, where, pool);
  for (size_t q = 0; q < where.size(); ++q) RC_ASSERT(some[q] == all[where[q]]);
}

TEST(SquaredDistances, RefuseASpacingOfZero) {
  EXPECT_THROW(Distances<float>({1}, {1, 1, 1}, {1, 0, 1}, false), UsageError);
}

}  // namespace
}  // namespace orchard::volume
