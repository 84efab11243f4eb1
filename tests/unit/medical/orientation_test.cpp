// Affines, and turning images by whole axes.
#include "io/medical/orientation.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"

namespace orchard::io {
namespace {

// Unit steps along the given axes of the patient: "LPS" runs to the left, posterior, superior.
Affine AlongAxes(const std::string& code, const Vec3& spacing, const Vec3& origin) {
  Vec3 columns[3] = {};
  for (size_t a = 0; a < 3; ++a) {
    const size_t at = std::string("RASLPI").find(code[a]);
    columns[a][at % 3] = at < 3 ? spacing[a] : -spacing[a];
  }
  return Affine::FromColumns(columns[0], columns[1], columns[2], origin);
}

// Voxel number as value, so that every voxel can be told from every other.
Volume Numbered(const Grid& grid) {
  Volume volume = MakeVolume(grid, DType::kI32);
  std::iota(volume.Elements<int32_t>().begin(), volume.Elements<int32_t>().end(), 0);
  return volume;
}

int32_t At(const Volume& v, int64_t i, int64_t j, int64_t k) {
  return v.Elements<int32_t>()[static_cast<size_t>(i + v.grid.size[0] * (j + v.grid.size[1] * k))];
}

TEST(Affine, InverseUndoes) {
  const Affine affine =
      Affine::FromColumns({0.9, 0.1, 0}, {-0.2, 2, 0.3}, {0, 0.4, -3}, {5, -6, 7});
  const Vec3 back = affine.Inverse()(affine({3, 4, 5}));
  EXPECT_NEAR(back[0], 3, 1e-12);
  EXPECT_NEAR(back[1], 4, 1e-12);
  EXPECT_NEAR(back[2], 5, 1e-12);
}

TEST(Affine, OfFlatAxesIsSingular) {
  const Affine flat = Affine::FromColumns({1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {0, 0, 0});
  EXPECT_TRUE(flat.Singular());
  EXPECT_THROW(flat.Inverse(), DataError);
  const Affine none = Affine::FromColumns({1, 0, 0}, {0, 0, 0}, {0, 0, 1}, {0, 0, 0});
  EXPECT_TRUE(none.Singular());
}

TEST(Affine, ShearOfATiltedGantryIsTheSineOfTheTilt) {
  const double tilt = 20 * M_PI / 180;
  const Affine sheared =
      Affine::FromColumns({1, 0, 0}, {0, 1, 0}, {0, 5 * std::tan(tilt), 5}, {0, 0, 0});
  EXPECT_NEAR(sheared.Shear(), std::sin(tilt), 1e-12);
}

TEST(Orientation, AllFortyEightCodesComeBack) {
  for (const char* axes : {"RAS", "RSA", "ARS", "ASR", "SRA", "SAR"}) {
    for (unsigned flips = 0; flips < 8; ++flips) {
      std::string code = axes;
      for (size_t a = 0; a < 3; ++a)
        if (flips >> a & 1) code[a] = "LPI"[std::string("RAS").find(code[a])];
      const Grid grid{{2, 3, 4}, AlongAxes(code, {1, 2, 3}, {10, 20, 30})};
      EXPECT_EQ(OrientationCode(grid.affine), code);
      EXPECT_EQ(OrientationCode(Reorient(grid, ClosestCanonical(grid.affine)).affine), "RAS");
    }
  }
}

TEST(Orientation, ObliqueTakesTheNearestAxes) {
  const double angle = 30 * M_PI / 180;
  const Affine oblique =
      Affine::FromColumns({std::cos(angle), std::sin(angle), 0},
                          {-std::sin(angle), std::cos(angle), 0}, {0, 0, -1}, {});
  EXPECT_EQ(OrientationCode(oblique), "RAI");
}

TEST(Reorient, MovesVoxelsWithTheirPlaces) {
  const Grid grid{{2, 3, 4}, AlongAxes("PIL", {1, 2, 3}, {10, 20, 30})};
  const Volume source = Numbered(grid);
  const Volume turned = Reorient(source, ClosestCanonical(grid.affine));
  EXPECT_EQ(turned.grid.size, (std::array<int64_t, 3>{4, 2, 3}));
  // Source voxel (1, 2, 3) is the most posterior, inferior, left one: the first in RAS.
  EXPECT_EQ(At(turned, 0, 0, 0), At(source, 1, 2, 3));
  EXPECT_EQ(turned.grid.affine.Origin(), grid.affine({1, 2, 3}));
}

AxisMap MapOf(int permutation, int flips) {
  constexpr int kOrders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  AxisMap map;
  for (size_t a = 0; a < 3; ++a) {
    map.axis[a] = kOrders[permutation][a];
    map.flip[a] = flips >> a & 1;
  }
  return map;
}

RC_GTEST_PROP(Reorient, ThereAndBackChangesNothing, ()) {
  const AxisMap map = MapOf(*rc::gen::inRange(0, 6), *rc::gen::inRange(0, 8));
  const Grid grid{{*rc::gen::inRange<int64_t>(1, 6), *rc::gen::inRange<int64_t>(1, 6),
                   *rc::gen::inRange<int64_t>(1, 6)},
                  Affine::FromColumns({1, 0.2, 0}, {-0.3, 2, 0}, {0, 0.5, 3}, {-4, 5, 6})};
  const Volume source = Numbered(grid);
  const Volume turned = Reorient(source, map);
  const Volume back = Reorient(turned, Inverse(map));
  RC_ASSERT(back.data == source.data);
  RC_ASSERT(back.grid.size == grid.size);
  for (size_t row = 0; row < 3; ++row)
    for (size_t c = 0; c < 4; ++c)
      RC_ASSERT(std::abs(back.grid.affine.m[row][c] - grid.affine.m[row][c]) < 1e-12);
  // Wherever a voxel went, it is where it was in space.
  for (int64_t k = 0; k < turned.grid.size[2]; ++k)
    for (int64_t j = 0; j < turned.grid.size[1]; ++j)
      for (int64_t i = 0; i < turned.grid.size[0]; ++i) {
        const int32_t n = At(turned, i, j, k);
        const Vec3 from = {static_cast<double>(n % grid.size[0]),
                           static_cast<double>(n / grid.size[0] % grid.size[1]),
                           static_cast<double>(n / grid.size[0] / grid.size[1])};
        const Vec3 to = {static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
        RC_ASSERT(Norm(Minus(grid.affine(from), turned.grid.affine(to))) < 1e-9);
      }
}

RC_GTEST_PROP(MatchGrids, FindsTheMapThatTurnedAGrid, ()) {
  const AxisMap map = MapOf(*rc::gen::inRange(0, 6), *rc::gen::inRange(0, 8));
  const Grid grid{{3, 4, 5}, Affine::FromColumns({1, 0, 0.1}, {0, 1, 0}, {-0.1, 0, 1}, {1, 2, 3})};
  const auto found = MatchGrids(grid, Reorient(grid, map));
  RC_ASSERT(found.has_value());
  RC_ASSERT(*found == map);
}

TEST(MatchGrids, RefusesAShiftOfATenthOfAMillimetre) {
  const Grid grid{{3, 4, 5}, Affine{}};
  Grid moved = grid;
  moved.affine.m[2][3] += 0.1;
  EXPECT_FALSE(MatchGrids(grid, moved));
  EXPECT_TRUE(MatchGrids(grid, moved, 0.2));
}

TEST(FindPart, FindsATurnedPartAndPutsItBack) {
  const Grid whole{{5, 4, 6}, Affine::FromColumns({0, 2, 0}, {1, 0, 0}, {0, 0, 3}, {7, 8, 9})};
  const AxisMap turn{.axis = {2, 0, 1}, .flip = {true, false, true}};
  Grid part{{5, 2, 3}, whole.affine};
  for (size_t row = 0; row < 3; ++row) part.affine.m[row][3] = whole.affine({0, 1, 2})[row];
  Volume cut = MakeVolume(part, DType::kU16);
  for (size_t v = 0; v < 30; ++v) cut.Elements<uint16_t>()[v] = static_cast<uint16_t>(v + 1);
  const Volume turned = Reorient(cut, turn);
  const std::optional<PartPlace> place = FindPart(turned.grid, whole);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->offset, (std::array<int64_t, 3>{0, 1, 2}));
  const Volume back = PutPart(turned, whole, *place);
  const auto values = back.Elements<uint16_t>();
  EXPECT_EQ(back.grid, whole);
  for (int64_t k = 0; k < 6; ++k) {
    for (int64_t j = 0; j < 4; ++j) {
      for (int64_t i = 0; i < 5; ++i) {
        const bool inside = j >= 1 && j < 3 && k >= 2 && k < 5;
        EXPECT_EQ(values[static_cast<size_t>(i + 5 * (j + 4 * k))],
                  inside ? 1 + i + 5 * (j - 1 + 2 * (k - 2)) : 0);
      }
    }
  }
  Grid off = part;
  off.affine.m[0][3] += 0.5;
  EXPECT_FALSE(FindPart(off, whole));
  off.affine.m[0][3] = part.affine.m[0][3] + 3;  // three voxels along j: out of the whole
  EXPECT_FALSE(FindPart(off, whole));
  EXPECT_FALSE(FindPart(whole, part));
}

TEST(FindRange, CountsWhatIsNoNumber) {
  Volume volume = MakeVolume({{4, 1, 1}, Affine{}}, DType::kF32);
  const auto values = volume.Elements<float>();
  values[0] = NAN;
  values[1] = INFINITY;
  values[2] = -2.5F;
  values[3] = 7;
  const ValueRange range = FindRange(volume);
  EXPECT_EQ(range.min, -2.5);
  EXPECT_EQ(range.max, 7);
  EXPECT_EQ(range.not_a_number, 1);
  EXPECT_EQ(range.infinite, 1);
  EXPECT_FALSE(range.integral);
}

}  // namespace
}  // namespace orchard::io
