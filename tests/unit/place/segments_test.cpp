#include "place/segments.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

namespace orchard::place {
namespace {

using Successors = std::vector<std::vector<int32_t>>;

void ExpectSound(const Successors& successors, const std::vector<int32_t>& device,
                 const Segments& cut) {
  ASSERT_EQ(cut.segment.size(), device.size());
  for (size_t i = 0; i < device.size(); ++i) {
    ASSERT_GE(cut.segment[i], 0);
    EXPECT_EQ(cut.device[static_cast<size_t>(cut.segment[i])], device[i]);
    for (int32_t s : successors[i]) EXPECT_LE(cut.segment[i], cut.segment[s]);
  }
  EXPECT_GE(static_cast<int32_t>(cut.device.size()), cut.least);
}

// The fewest segments there are, by trying every device at every turn.
int32_t Fewest(const Successors& successors, const std::vector<int32_t>& device,
               std::vector<bool> done, int32_t devices, int32_t last) {
  if (std::find(done.begin(), done.end(), false) == done.end()) return 0;
  int32_t best = 1000;
  for (int32_t d = 0; d < devices; ++d) {
    if (d == last) continue;
    std::vector<bool> next = done;
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = 0; i < device.size(); ++i) {
        if (next[i] || device[i] != d) continue;
        bool ready = true;
        for (size_t p = 0; p < device.size(); ++p) {
          const auto& list = successors[p];
          if (std::find(list.begin(), list.end(), static_cast<int32_t>(i)) != list.end())
            ready = ready && next[p];
        }
        if (ready) next[i] = changed = true;
      }
    }
    if (next != done) best = std::min(best, 1 + Fewest(successors, device, next, devices, d));
  }
  return best;
}

TEST(CutIntoSegments, OneDeviceIsOneSegment) {
  const Segments cut = CutIntoSegments({{1}, {2}, {}}, {0, 0, 0});
  EXPECT_EQ(cut.device, std::vector<int32_t>{0});
  EXPECT_EQ(cut.least, 1);
}

TEST(CutIntoSegments, ADiamondOverTwoDevicesIsThreeSegments) {
  // 0 -> 1, 2 -> 3 with 1 on the other device: the way there and back.
  const Segments cut = CutIntoSegments({{1, 2}, {3}, {3}, {}}, {0, 1, 0, 0});
  EXPECT_EQ(cut.device, (std::vector<int32_t>{0, 1, 0}));
  EXPECT_EQ(cut.segment, (std::vector<int32_t>{0, 1, 0, 2}));
}

TEST(CutIntoSegments, AChainOfAHundredThousandIsFine) {
  Successors successors(100'000);
  std::vector<int32_t> device(100'000);
  for (int32_t i = 0; i + 1 < 100'000; ++i) successors[i] = {i + 1};
  for (int32_t i = 0; i < 100'000; ++i) device[i] = i / 50'000;
  EXPECT_EQ(CutIntoSegments(successors, device).device.size(), 2u);
}

TEST(CutIntoSegments, OfRandomGraphsAreAsFewAsBruteForceFinds) {
  EXPECT_TRUE(rc::check([] {
    const auto n = *rc::gen::inRange(1, 11), devices = *rc::gen::inRange(1, 4);
    Successors successors(static_cast<size_t>(n));
    std::vector<int32_t> device;
    for (int i = 0; i < n; ++i) {
      device.push_back(*rc::gen::inRange(0, devices));
      for (int j = i + 1; j < n; ++j) {
        if (*rc::gen::inRange(0, 3) == 0) successors[static_cast<size_t>(i)].push_back(j);
      }
    }
    const Segments cut = CutIntoSegments(successors, device);
    ExpectSound(successors, device, cut);
    const int32_t fewest =
        Fewest(successors, device, std::vector<bool>(device.size()), devices, -1);
    RC_ASSERT(static_cast<int32_t>(cut.device.size()) == fewest);
    RC_ASSERT(cut.least <= fewest);
  }));
}

}  // namespace
}  // namespace orchard::place
