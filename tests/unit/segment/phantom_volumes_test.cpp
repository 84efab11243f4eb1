#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "segment/phantom/outline.h"
#include "segment/phantom/phantom.h"
#include "segment/phantom/rotation.h"
#include "segment/phantom/shapes.h"
#include "segment/phantom/warp.h"

namespace orchard::segment {
namespace {

using data::RandomStream;
using std::numbers::pi;

std::vector<int64_t> Counts(const Phantom& p, int64_t classes) {
  std::vector<int64_t> counts(static_cast<size_t>(classes) + 1);
  for (const uint8_t l : p.labels) ++counts.at(l);
  return counts;
}

// The voxels of label `label` in each slice.
std::vector<int64_t> Areas(const Phantom& p, uint8_t label) {
  std::vector<int64_t> areas(static_cast<size_t>(p.size[2]));
  const auto slice = static_cast<size_t>(p.size[0] * p.size[1]);
  for (size_t v = 0; v < p.labels.size(); ++v) areas[v / slice] += p.labels[v] == label ? 1 : 0;
  return areas;
}

TEST(Solids, HaveTheVolumeAskedFor) {
  // A voxel is counted by its centre, so those that the surface cuts, about one for a unit of its
  // area, are wrong by a part that spreads over -1/2 to 1/2: a deviation of sqrt(area / 12) for
  // one turn and place.
  constexpr double kVolume = 6000;
  constexpr int kTurns = 12;
  const double ball = std::cbrt(0.75 * kVolume / pi), shell = ball / std::cbrt(1 - 0.262144);
  const double rod = std::cbrt(4 * kVolume / (3 * pi)), plate = std::cbrt(4 * kVolume);
  const double areas[] = {4 * pi * ball * ball, 4 * pi * shell * shell * (1 + 0.64 * 0.64),
                          3.5 * pi * rod * rod, 3 * plate * plate};
  for (int64_t solid = 0; solid < kEpisodeShapes; ++solid) {
    double sum = 0;
    for (uint64_t t = 0; t < kTurns; ++t) {
      RandomStream random(4, "turn", t);
      const Rotation turn = RandomRotation(random);
      io::Vec3 centre{};
      for (double& c : centre) c = 28 + random.Uniform();
      for (int v = 0; v < 56 * 56 * 56; ++v) {
        const int i = v % 56, j = v / 56 % 56, k = v / 56 / 56;
        const io::Vec3 p = {i + 0.5, j + 0.5, k + 0.5};
        sum += InSolid(solid, turn(io::Minus(p, centre)), kVolume) > 0 ? 1 : 0;
      }
    }
    const double deviation = std::sqrt(areas[solid] / 12 / kTurns);
    EXPECT_NEAR(sum / kTurns, kVolume, 4 * deviation) << "solid " << solid;
  }
}

TEST(Solids, AreAsDeepAsTheirBorderIsFar) {
  EXPECT_DOUBLE_EQ(InBox({1, 0, 0}, {3, 5, 5}), 2);
  EXPECT_DOUBLE_EQ(InBox({6, 9, 0}, {3, 5, 5}), -5);
  EXPECT_DOUBLE_EQ(InEllipsoid({0, 0, 0}, {3, 4, 5}), 3);
  EXPECT_DOUBLE_EQ(InEllipsoid({0, 0, 3}, {5, 5, 5}), 2);
  EXPECT_NEAR(InEllipsoid({0, 3.99, 0}, {3, 4, 5}), 0.01, 1e-4);
  EXPECT_NEAR(InEllipsoid({7, 0, 100}, {5, 5, 1e9}), -2, 1e-6);
}

TEST(Rotations, KeepLengthsAndHandedness) {
  for (uint64_t t = 0; t < 20; ++t) {
    RandomStream random(1, "turn", t);
    const Rotation r = t % 2 == 0 ? RandomRotation(random) : SmallRotation(0.2, random);
    const io::Vec3 x = r({1, 0, 0}), y = r({0, 1, 0}), z = r({0, 0, 1}), up = io::Cross(x, y);
    for (size_t a = 0; a < 3; ++a) EXPECT_NEAR(up[a], z[a], 1e-12);
    EXPECT_NEAR(io::Norm(x), 1, 1e-12);
    EXPECT_NEAR(io::Dot(x, y), 0, 1e-12);
    const double cosine = (x[0] + y[1] + z[2] - 1) / 2;
    EXPECT_GE(cosine, (t % 2 == 0 ? -1 : std::cos(0.2)) - 1e-12);
  }
}

TEST(Episode3d, HasFourSolidsOfOneVolume) {
  constexpr int kSubjects = 24;
  std::vector<double> sum(5);
  for (uint64_t s = 0; s < kSubjects; ++s) {
    const Phantom p = MakeEpisode3d(48, 3, s);
    EXPECT_EQ(p.size, (volume::Size3{48, 48, 48}));
    const std::vector<int64_t> counts = Counts(p, kEpisodeShapes);
    for (size_t l = 1; l <= 4; ++l) {
      // 0.003 s^3 times the cube of 0.85 to 1.15, and the counting of voxels.
      EXPECT_GT(static_cast<double>(counts[l]), 332 * 0.614 - 40) << l;
      EXPECT_LT(static_cast<double>(counts[l]), 332 * 1.521 + 40) << l;
      sum[l] += static_cast<double>(counts[l]) / kSubjects;
    }
  }
  // Cubes of a scale have a mean of 1.0225 and a deviation of 0.26: of 24, 0.054.
  for (size_t l = 1; l <= 4; ++l) EXPECT_NEAR(sum[l] / 332, 1.0225, 3 * 0.054) << l;
}

TEST(Harmonics, AreOrthogonalAndAsStrongAsACosine) {
  std::array<std::array<double, kHarmonics>, kHarmonics> products{};
  constexpr int kHeights = 400, kAngles = 32;
  for (int h = 0; h < kHeights; ++h) {
    const double z = -1 + (2 * h + 1.0) / kHeights, r = std::sqrt(1 - z * z);
    for (int t = 0; t < kAngles; ++t) {
      const double angle = 2 * pi * t / kAngles;
      const auto y = Harmonics({r * std::cos(angle), r * std::sin(angle), z});
      for (size_t a = 0; a < kHarmonics; ++a)
        for (size_t b = 0; b < kHarmonics; ++b)
          products[a][b] += y[a] * y[b] / (kHeights * kAngles);
    }
  }
  for (size_t a = 0; a < kHarmonics; ++a)
    for (size_t b = 0; b < kHarmonics; ++b)
      EXPECT_NEAR(products[a][b], a == b ? 0.5 : 0, 1e-3) << a << " " << b;
}

TEST(Organ3d, OfOneFamilyHaveOneOutline) {
  const auto difference = [](int64_t family, uint64_t subject) {
    RandomStream first(5, "subject", 0), second(5, "subject", subject);
    const Outline3d a(5, 0, first), b(5, family, second);
    double sum = 0;
    for (size_t n = 0; n < kHarmonics; ++n) sum += std::pow(a.a[n] - b.a[n], 2);
    return std::sqrt(sum);
  };
  for (int64_t family = 1; family < kFamilies; ++family)
    EXPECT_LT(2 * difference(0, 1), difference(family, 1));
}

TEST(Organ3d, HidesItsBorderInACone) {
  double share = 0;
  for (uint64_t s = 0; s < 6; ++s) {
    const Phantom p = MakeOrgan3d(48, 5, s, true, {.noise = 0});
    const Phantom whole = MakeOrgan3d(48, 5, s, false, {.noise = 0});
    EXPECT_EQ(p.labels, whole.labels);
    EXPECT_EQ(p.family, static_cast<int64_t>(s));
    double inside = 0, hidden = 0, seen = 0, in_cone = 0;
    for (size_t v = 0; v < p.labels.size(); ++v) {
      if (p.labels[v] == 0) continue;
      ++inside;
      in_cone += p.wedge[v];
      (p.wedge[v] != 0 ? hidden : seen) += std::abs(p.image[v] - whole.image[v]);
    }
    // Of each voxel; a feather of 2 voxels reaches out of the cone.
    EXPECT_GT(hidden / in_cone, 2 * seen / (inside - in_cone));
    share += in_cone / inside / 6;
  }
  // A cone of 90 degrees is (1 - cos 45) / 2 of the sphere.
  EXPECT_NEAR(share, 0.146, 0.04);
}

TEST(Warp, FoldsNowhereAndMovesLittle) {
  const volume::Size3 size = {40, 40, 12};
  const volume::Spacing3 spacing = {1.5, 1.5, 4};
  for (uint64_t subject = 0; subject < 4; ++subject) {
    const Warp warp(size, spacing, 3, subject);
    double mean = 0, most = 0;
    for (int64_t v = 0; v < volume::Voxels(size); ++v) {
      const double move = io::Norm(warp(static_cast<size_t>(v)));
      mean += move / static_cast<double>(volume::Voxels(size));
      most = std::max(most, move);
    }
    EXPECT_LE(most, 0.04 * 60 + 1e-9);
    EXPECT_GT(mean, 0.01 * 60);
    for (int64_t k = 0; k + 1 < size[2]; ++k) {
      for (int64_t j = 0; j + 1 < size[1]; ++j) {
        for (int64_t i = 0; i + 1 < size[0]; ++i) {
          const auto at = [&](int64_t di, int64_t dj, int64_t dk) {
            return warp(static_cast<size_t>(volume::IndexOf(size, i + di, j + dj, k + dk)));
          };
          io::Vec3 steps[3] = {io::Minus(at(1, 0, 0), at(0, 0, 0)),
                               io::Minus(at(0, 1, 0), at(0, 0, 0)),
                               io::Minus(at(0, 0, 1), at(0, 0, 0))};
          for (size_t a = 0; a < 3; ++a) steps[a][a] += spacing[a];
          ASSERT_GT(io::Dot(io::Cross(steps[0], steps[1]), steps[2]), 0);
        }
      }
    }
  }
}

// Every voxel of the left ventricle has only its own and the myocardium beside it in the slice.
void ExpectEnclosed(const Phantom& p) {
  int64_t open = 0;
  for (int64_t k = 0; k < p.size[2]; ++k) {
    for (int64_t j = 1; j + 1 < p.size[1]; ++j) {
      for (int64_t i = 1; i + 1 < p.size[0]; ++i) {
        const auto at = [&](int64_t x, int64_t y) {
          return p.labels[static_cast<size_t>(volume::IndexOf(p.size, x, y, k))];
        };
        if (at(i, j) != 3) continue;
        for (const uint8_t beside : {at(i - 1, j), at(i + 1, j), at(i, j - 1), at(i, j + 1)})
          open += beside < 2 ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(open, 0);
}

TEST(Heart, HasItsLeftVentricleWithinMyocardium) {
  for (uint64_t s = 0; s < 12; ++s) {
    ExpectEnclosed(MakeHeart(96, 1, s));
    ExpectEnclosed(MakeHeart(48, 1, s));
    ExpectEnclosed(MakeHeart(64, 1, s, {.warp = true}));
  }
}

TEST(Heart, ShrinksToTheApex) {
  std::set<int64_t> slices, without_right;
  for (uint64_t s = 0; s < 24; ++s) {
    const Phantom p = MakeHeart(96, 1, s, {.noise = 0});
    EXPECT_EQ(p.spacing, (volume::Spacing3{1.5, 1.5, 8}));
    slices.insert(p.size[2]);
    const std::vector<int64_t> left = Areas(p, 3), right = Areas(p, 1);
    const auto n = static_cast<size_t>(p.size[2]);
    for (size_t k = 0; k + 1 < n; ++k) {
      // Towards the base by as much as the voxels of the outline may hide.
      EXPECT_GE(left[k + 1], left[k] - 8) << k;
    }
    // Radii by sqrt(1 - z^2): with the apex 0 to 8 percent beyond the last slice, z is about 0.5 in
    // the middle and 0.88 to 0.96 in the first.
    const auto base = static_cast<double>(left[n - 1]);
    EXPECT_GT(left[0], 0.06 * base);
    EXPECT_LT(left[0], 0.26 * base);
    EXPECT_NEAR(static_cast<double>(left[n / 2]) / base, 0.77, 0.08);
    EXPECT_GT(right[0], 0);
    int64_t missing = 0;
    while (right[n - 1 - static_cast<size_t>(missing)] == 0) ++missing;
    without_right.insert(missing);
    EXPECT_EQ(std::count(right.begin(), right.end(), 0), missing);
  }
  EXPECT_EQ(slices, (std::set<int64_t>{8, 9, 10, 11, 12}));
  EXPECT_EQ(without_right, (std::set<int64_t>{0, 1, 2}));
}

// The mean of `label`'s voxels that are at least `margin` from others along every axis.
double MeanInside(const Phantom& p, uint8_t label, int64_t margin, int64_t& count) {
  double sum = 0;
  count = 0;
  for (int64_t v = 0; v < volume::Voxels(p.size); ++v) {
    const volume::Size3 at = {v % p.size[0], v / p.size[0] % p.size[1],
                              v / (p.size[0] * p.size[1])};
    bool deep = true;
    int64_t step = 1;
    for (size_t a = 0; a < 3; step *= p.size[a], ++a) {
      const int64_t reach = a == 2 && p.spacing[2] > p.spacing[0] ? 0 : margin;
      for (int64_t d = -reach; d <= reach && deep; ++d) {
        const bool within = at[a] + d >= 0 && at[a] + d < p.size[a];
        deep = !within || p.labels[static_cast<size_t>(v + d * step)] == label;
      }
    }
    if (!deep) continue;
    sum += p.image[static_cast<size_t>(v)];
    ++count;
  }
  return sum / static_cast<double>(count);
}

// Three voxels from a border, edges that are soft by 0.7 have 1.4 percent of what is behind it; the
// mean over all deeper voxels has less.
TEST(Heart, IsAsBrightAsItsTissues) {
  const Phantom p = MakeHeart(96, 1, 0);
  int64_t count = 0;
  const double left = MeanInside(p, 3, 3, count);
  EXPECT_NEAR(left, 1, 0.014 * 0.6 + 4 * 0.1 / std::sqrt(static_cast<double>(count)));
  const double wall = MeanInside(p, 2, 2, count);
  ASSERT_GT(count, 20);
  EXPECT_NEAR(wall, 0.4, 2 * 0.054 * 0.6 + 4 * 0.1 / std::sqrt(static_cast<double>(count)));
}

TEST(Abdomen, HasOrgansOfTheirHounsfieldUnits) {
  constexpr double kValues[] = {0, 110, 120, 180, 180, 150};
  for (const AbdomenVoxels voxels : {AbdomenVoxels::kIso, AbdomenVoxels::kThick}) {
    const Phantom p = MakeAbdomen(112, 1, 2, voxels);
    EXPECT_EQ(p.spacing, voxels == AbdomenVoxels::kIso ? (volume::Spacing3{1.5, 1.5, 1.5})
                                                       : (volume::Spacing3{0.8, 0.8, 3}));
    for (uint8_t label = 1; label <= 5; ++label) {
      int64_t count = 0;
      const double mean = MeanInside(p, label, label == 5 ? 2 : 3, count);
      ASSERT_GT(count, 20) << int{label};
      const double edge = (label == 5 ? 0.11 : 0.014) * (kValues[label] - 40);
      EXPECT_NEAR(mean, kValues[label], edge + 4 * 15 / std::sqrt(static_cast<double>(count)))
          << int{label};
    }
    EXPECT_NEAR(p.image.front(), -1000, 4 * 15);
  }
}

TEST(Abdomen, HasLiverAndRightKidneyOnTheRight) {
  const Phantom p = MakeAbdomen(64, 1, 0, AbdomenVoxels::kIso);
  EXPECT_EQ(p.size, (volume::Size3{64, 64, 48}));
  std::array<io::Vec3, 6> centre{};
  const std::vector<int64_t> counts = Counts(p, 5);
  for (int64_t v = 0; v < volume::Voxels(p.size); ++v) {
    const uint8_t l = p.labels[static_cast<size_t>(v)];
    const int64_t at[] = {v % 64, v / 64 % 64, v / 64 / 64};
    for (size_t a = 0; a < 3; ++a)
      centre.at(l)[a] += static_cast<double>(at[a]) / static_cast<double>(counts[l]);
  }
  EXPECT_GT(centre[1][0], centre[5][0] + 5);  // liver and aorta
  EXPECT_LT(centre[2][0], centre[5][0] - 5);  // spleen
  EXPECT_GT(centre[3][0], centre[5][0] + 5);  // kidneys
  EXPECT_LT(centre[4][0], centre[5][0] - 5);
  EXPECT_GT(centre[1][2], centre[3][2] + 5);  // the liver is above the kidney
}

TEST(Volumes, DependOnSeedAndSubjectAlone) {
  const auto make = [](int kind, uint64_t seed, uint64_t subject) {
    const PhantomLook look{.noise = 0.1, .warp = true, .gain = true, .gamma = true};
    switch (kind) {
      case 0:
        return MakeEpisode3d(24, seed, subject, look);
      case 1:
        return MakeOrgan3d(24, seed, subject, true, look);
      case 2:
        return MakeHeart(32, seed, subject, look);
      default:
        return MakeAbdomen(24, seed, subject, AbdomenVoxels::kThick, look);
    }
  };
  for (int kind = 0; kind < 4; ++kind) {
    const Phantom p = make(kind, 1, 2);
    EXPECT_EQ(p.image, make(kind, 1, 2).image);
    EXPECT_EQ(p.labels, make(kind, 1, 2).labels);
    EXPECT_NE(p.image, make(kind, 1, 3).image);
    EXPECT_NE(p.image, make(kind, 2, 2).image);
  }
}

TEST(Scanner, ChangesBrightnessAndNotTheTruth) {
  for (uint64_t s = 0; s < 8; ++s) {
    const Phantom plain = MakeOrgan(32, 1, s, true);
    const Phantom gain = MakeOrgan(32, 1, s, true, {.noise = 0.5, .gain = true});
    const Phantom gamma = MakeOrgan(32, 1, s, true, {.noise = 0.5, .gamma = true});
    const float factor = gain.image[0] / plain.image[0];
    EXPECT_GE(factor, 0.8f);
    EXPECT_LE(factor, 1.25f);
    for (size_t v = 0; v < plain.image.size(); ++v)
      ASSERT_NEAR(gain.image[v], factor * plain.image[v], 1e-5);
    EXPECT_EQ(plain.labels, gamma.labels);
    EXPECT_NE(plain.image, gamma.image);
    const auto a = std::minmax_element(plain.image.begin(), plain.image.end());
    const auto b = std::minmax_element(gamma.image.begin(), gamma.image.end());
    EXPECT_NEAR(*a.first, *b.first, 1e-5);
    EXPECT_NEAR(*a.second, *b.second, 1e-5);
    // Values keep their order.
    EXPECT_EQ(a.first - plain.image.begin(), b.first - gamma.image.begin());
  }
}

TEST(Bodies, BendWithTheWarpAndKeepTheirLabels) {
  const Phantom plain = MakeEpisode(64, 1, 0), bent = MakeEpisode(64, 1, 0, {.warp = true});
  EXPECT_NE(plain.labels, bent.labels);
  const std::vector<int64_t> a = Counts(plain, 4), b = Counts(bent, 4);
  for (size_t l = 1; l <= 4; ++l)
    EXPECT_NEAR(static_cast<double>(b[l]) / static_cast<double>(a[l]), 1, 0.4) << l;
}

}  // namespace
}  // namespace orchard::segment
