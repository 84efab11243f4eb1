#include "segment/label_copy.h"

#include <gtest/gtest.h>

#include "unit/segment/made_case.h"

namespace orchard::segment {
namespace {

PreparedCase Labelled(const volume::Size3& size, std::vector<uint8_t> labels) {
  PreparedCase c;
  c.image.size = size;
  c.labels = std::move(labels);
  return c;
}

TEST(CopyLabels, AtTheSameSizeIsACopy) {
  const PreparedCase c = testing::MakeCase("a", {7, 6, 5}, 1);
  EXPECT_EQ(CopyLabels(c, c.image.size), c.labels);
}

TEST(CopyLabels, StretchesEveryVoxel) {
  const PreparedCase c = Labelled({2, 1, 1}, {1, 2});
  EXPECT_EQ(CopyLabels(c, {4, 2, 1}), (std::vector<uint8_t>{1, 1, 2, 2, 1, 1, 2, 2}));
  EXPECT_EQ(CopyLabels(c, {1, 1, 1}), (std::vector<uint8_t>{2}));
}

TEST(VoteLabels, TakesTheMajorityAndTheLowestOfEqualOnes) {
  const std::vector<PreparedCase> cases = {Labelled({3, 1, 1}, {1, 2, 0}),
                                           Labelled({3, 1, 1}, {1, 1, 0}),
                                           Labelled({3, 1, 1}, {2, 0, 2})};
  const std::vector<size_t> all = {0, 1, 2}, two = {0, 2};
  EXPECT_EQ(VoteLabels(cases, all, {3, 1, 1}, 2), (std::vector<uint8_t>{1, 0, 0}));
  EXPECT_EQ(VoteLabels(cases, two, {3, 1, 1}, 2), (std::vector<uint8_t>{1, 0, 0}));
}

TEST(OnWholeScan, PutsTheBoxWhereItWasCutOut) {
  CaseFrame frame;
  frame.whole = {4, 3, 2};
  frame.crop = {{1, 1, 0}, {3, 2, 2}};
  const std::vector<uint8_t> whole = OnWholeScan(std::vector<uint8_t>{1, 2, 3, 4}, frame);
  std::vector<uint8_t> expected(24);
  expected[5] = 1;
  expected[6] = 2;
  expected[17] = 3;
  expected[18] = 4;
  EXPECT_EQ(whole, expected);
}

}  // namespace
}  // namespace orchard::segment
