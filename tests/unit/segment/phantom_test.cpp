#include "segment/phantom/phantom.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "segment/label_copy.h"

namespace orchard::segment {
namespace {

std::map<int, int> Counts(const std::vector<uint8_t>& labels) {
  std::map<int, int> counts;
  for (const uint8_t l : labels) ++counts[l];
  return counts;
}

TEST(Episode, HasFourShapesOfTheAreaThatIsAskedFor) {
  // Areas vary with the square of a scale from 0.85 to 1.15; voxels and soft edges blur them a bit.
  double sum[5] = {};
  constexpr int kSubjects = 40;
  for (uint64_t s = 0; s < kSubjects; ++s) {
    const std::map<int, int> counts = Counts(MakeEpisode(96, 3, s).labels);
    ASSERT_EQ(counts.size(), 5u);
    for (const auto& [label, count] : counts) sum[label] += count;
  }
  for (int shape = 1; shape <= 4; ++shape) {
    const double area = sum[shape] / kSubjects / (96 * 96);
    EXPECT_NEAR(area, 0.025 * (1 + 0.0075), 0.0015) << "shape " << shape;
  }
}

TEST(Episode, ShapesCannotBeToldByTheirBrightness) {
  double mean[5] = {};
  double count[5] = {};
  for (uint64_t s = 0; s < 40; ++s) {
    const Phantom p = MakeEpisode(96, 3, s);
    for (size_t v = 0; v < p.labels.size(); ++v) {
      mean[p.labels[v]] += p.image[v];
      count[p.labels[v]] += 1;
    }
  }
  // Edges are soft, so that shapes with much edge are a little darker.
  for (int shape = 1; shape <= 4; ++shape)
    EXPECT_NEAR(mean[shape] / count[shape], 0.9, 0.12) << "shape " << shape;
}

TEST(Phantoms, DependOnSeedAndSubjectAlone) {
  EXPECT_EQ(MakeEpisode(48, 1, 2).image, MakeEpisode(48, 1, 2).image);
  EXPECT_NE(MakeEpisode(48, 1, 2).image, MakeEpisode(48, 1, 3).image);
  EXPECT_NE(MakeOrgan(48, 1, 2, true).image, MakeOrgan(48, 2, 2, true).image);
}

// Mean Dice of the organ's outline between subjects, each moved to the middle by its own box.
double Overlap(const Phantom& a, const Phantom& b) {
  const auto box = [](const Phantom& p) {
    std::array<int64_t, 4> edges = {p.size[0], p.size[0], 0, 0};
    for (int64_t j = 0; j < p.size[0]; ++j) {
      for (int64_t i = 0; i < p.size[0]; ++i) {
        if (p.labels[static_cast<size_t>(j * p.size[0] + i)] == 0) continue;
        edges = {std::min(edges[0], i), std::min(edges[1], j), std::max(edges[2], i),
                 std::max(edges[3], j)};
      }
    }
    return edges;
  };
  const auto ea = box(a), eb = box(b);
  double both = 0, sum = 0;
  for (int64_t j = 0; j < 40; ++j) {
    for (int64_t i = 0; i < 40; ++i) {
      const auto at = [&](const Phantom& p, const std::array<int64_t, 4>& e) {
        const int64_t x = e[0] + i * (e[2] - e[0] + 1) / 40, y = e[1] + j * (e[3] - e[1] + 1) / 40;
        return p.labels[static_cast<size_t>(y * p.size[0] + x)] != 0;
      };
      const bool ia = at(a, ea), ib = at(b, eb);
      both += ia && ib ? 2 : 0;
      sum += (ia ? 1 : 0) + (ib ? 1 : 0);
    }
  }
  return both / sum;
}

TEST(Organ, OfOneFamilyAreMoreAlikeThanOfTwo) {
  double same = 0, other = 0;
  for (uint64_t s = 0; s < kFamilies; ++s) {
    const Phantom a = MakeOrgan(96, 5, s, false);
    same += Overlap(a, MakeOrgan(96, 5, s + kFamilies, false));
    other += Overlap(a, MakeOrgan(96, 5, s + kFamilies + 1, false));
  }
  EXPECT_GT(same, other);
}

TEST(Organ, HasNoBorderInTheWedge) {
  // Just inside and just outside the border, far from the wedge's own edges.
  double inside = 0, outside = 0, seen_inside = 0, seen_outside = 0;
  double counts[4] = {};
  for (uint64_t s = 0; s < 12; ++s) {
    const Phantom p = MakeOrgan(96, 5, s, true, {.noise = 0});
    for (int64_t j = 2; j < p.size[0] - 2; ++j) {
      for (int64_t i = 2; i < p.size[0] - 2; ++i) {
        const auto v = static_cast<size_t>(j * p.size[0] + i);
        const auto n = [&](int64_t dx, int64_t dy) {
          return p.labels[static_cast<size_t>((j + dy) * p.size[0] + i + dx)];
        };
        const bool next_to_air = n(2, 0) == 0 || n(-2, 0) == 0 || n(0, 2) == 0 || n(0, -2) == 0;
        const bool next_to_rim = n(2, 0) == 1 || n(-2, 0) == 1 || n(0, 2) == 1 || n(0, -2) == 1;
        if (p.labels[v] == 1 && next_to_air) {
          (p.wedge[v] != 0 ? inside : seen_inside) += p.image[v];
          ++counts[p.wedge[v] != 0 ? 0 : 1];
        }
        if (p.labels[v] == 0 && next_to_rim) {
          (p.wedge[v] != 0 ? outside : seen_outside) += p.image[v];
          ++counts[p.wedge[v] != 0 ? 2 : 3];
        }
      }
    }
  }
  // Voxels half a voxel and one and a half from a border that is soft by 0.7 have 0.67 and 0.89 of
  // the brightness behind it: a contrast of 0.57, less what the background itself adds.
  EXPECT_NEAR(seen_inside / counts[1] - seen_outside / counts[3], 0.57, 0.07);
  EXPECT_LT(std::abs(inside / counts[0] - outside / counts[2]), 0.2);
}

TEST(AsCase, KeepsOneLabelAndStandardises) {
  const Phantom p = MakeEpisode(48, 1, 0);
  const PreparedCase c = AsCase(p, "id", "subject", 1, 3);
  double mean = 0, squares = 0;
  for (size_t v = 0; v < p.labels.size(); ++v) {
    EXPECT_EQ(c.labels[v], p.labels[v] == 3 ? 1 : 0);
    mean += c.image.values[v];
    squares += c.image.values[v] * c.image.values[v];
  }
  const auto n = static_cast<double>(p.labels.size());
  EXPECT_NEAR(mean / n, 0, 1e-5);
  EXPECT_NEAR(squares / n, 1, 1e-4);
  EXPECT_TRUE(c.Has(1));
}

}  // namespace
}  // namespace orchard::segment
