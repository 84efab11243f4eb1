#include "volume/components.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <random>

namespace orchard::volume {
namespace {

bool AreNeighbours(int64_t di, int64_t dj, int64_t dk, Connectivity connectivity) {
  if (std::abs(di) > 1 || std::abs(dj) > 1 || std::abs(dk) > 1) return false;
  const int64_t axes = std::abs(di) + std::abs(dj) + std::abs(dk);
  return axes > 0 && axes <= (connectivity == Connectivity::k6    ? 1
                              : connectivity == Connectivity::k18 ? 2
                                                                  : 3);
}

// Components by flooding from each voxel in turn.
std::vector<int32_t> Flood(const std::vector<uint8_t>& labels, const Size3& size,
                           Connectivity connectivity) {
  std::vector<int32_t> id(labels.size(), 0);
  int32_t next = 0;
  for (int64_t start = 0; start < Voxels(size); ++start) {
    if (labels[start] == 0 || id[start] != 0) continue;
    id[start] = ++next;
    std::vector<int64_t> open = {start};
    while (!open.empty()) {
      const int64_t v = open.back();
      open.pop_back();
      const int64_t i = v % size[0], j = v / size[0] % size[1], k = v / size[0] / size[1];
      for (int64_t w = 0; w < Voxels(size); ++w) {
        const int64_t x = w % size[0], y = w / size[0] % size[1], z = w / size[0] / size[1];
        if (id[w] != 0 || labels[w] != labels[v] ||
            !AreNeighbours(x - i, y - j, z - k, connectivity))
          continue;
        id[w] = next;
        open.push_back(w);
      }
    }
  }
  return id;
}

constexpr Connectivity kAll[] = {Connectivity::k6, Connectivity::k18, Connectivity::k26};

RC_GTEST_PROP(Components, AreThoseOfFlooding, ()) {
  const Size3 size = {*rc::gen::inRange<int64_t>(1, 10), *rc::gen::inRange<int64_t>(1, 6),
                      *rc::gen::inRange<int64_t>(1, 6)};
  std::mt19937 random(*rc::gen::arbitrary<uint32_t>());
  const unsigned classes = *rc::gen::inRange(1, 4);
  std::vector<uint8_t> labels(Voxels(size));
  for (uint8_t& label : labels) label = static_cast<uint8_t>(random() % (classes + 1));
  ThreadPool pool(*rc::gen::inRange(1, 4));
  for (Connectivity connectivity : kAll) {
    const Components found =
        FindComponents(std::span<const uint8_t>(labels), size, connectivity, pool);
    RC_ASSERT(found.id == Flood(labels, size, connectivity));
  }
}

TEST(Components, ListSizesLabelsAndFirstVoxels) {
  const std::vector<uint16_t> labels = {1, 1, 0, 2, 2, 2, 0, 1, 7};
  ThreadPool pool(2);
  const Components found =
      FindComponents(std::span<const uint16_t>(labels), {9, 1, 1}, Connectivity::k6, pool);
  ASSERT_EQ(found.list.size(), 4u);
  EXPECT_EQ(found.id, (std::vector<int32_t>{1, 1, 0, 2, 2, 2, 0, 3, 4}));
  EXPECT_EQ(found.list[1].label, 2);
  EXPECT_EQ(found.list[1].voxels, 3);
  EXPECT_EQ(found.list[1].first, 3);
  EXPECT_EQ(found.list[3].label, 7);
}

TEST(Components, TouchAcrossAnEdgeAndACornerAsAsked) {
  ThreadPool pool(1);
  const auto count = [&](const std::vector<uint8_t>& labels, Connectivity connectivity) {
    return FindComponents(std::span<const uint8_t>(labels), {2, 2, 2}, connectivity, pool)
        .list.size();
  };
  const std::vector<uint8_t> edge = {1, 0, 0, 1, 0, 0, 0, 0}, corner = {1, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_EQ(count(edge, Connectivity::k6), 2u);
  EXPECT_EQ(count(edge, Connectivity::k18), 1u);
  EXPECT_EQ(count(corner, Connectivity::k18), 2u);
  EXPECT_EQ(count(corner, Connectivity::k26), 1u);
}

TEST(KeepLargest, KeepsOneComponentOfEachLabel) {
  std::vector<uint8_t> labels = {1, 0, 1, 1, 0, 2, 2, 0, 2, 0, 1, 1};
  ThreadPool pool(1);
  EXPECT_EQ(KeepLargest(std::span<uint8_t>(labels), {12, 1, 1}, Connectivity::k26, pool), 4);
  EXPECT_EQ(labels, (std::vector<uint8_t>{0, 0, 1, 1, 0, 2, 2, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace orchard::volume
