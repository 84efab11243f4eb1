#include "volume/label_export.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "volume/export_element.h"

namespace orchard::volume {
namespace {

std::vector<float> Logits(int64_t classes, const Size3& size, unsigned seed, float bias = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> logits(classes * Voxels(size));
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = normal(random) + (static_cast<int64_t>(i) < Voxels(size) ? bias : 0);
  return logits;
}

// Interpolates every class at every voxel.
std::vector<uint8_t> Plainly(const LabelExportArgs& a, const std::vector<float>& logits) {
  const Size3 from = {a.axes[0].inputs, a.axes[1].inputs, a.axes[2].inputs};
  std::vector<uint8_t> labels(Voxels(a.size), 0);
  for (int64_t k = 0; k < a.axes[2].outputs(); ++k)
    for (int64_t j = 0; j < a.axes[1].outputs(); ++j)
      for (int64_t i = 0; i < a.axes[0].outputs(); ++i) {
        float best = -INFINITY;
        uint8_t label = 0;
        for (int64_t c = 0; c < a.classes; ++c) {
          float v[2][2][2];
          for (int z = 0; z < 2; ++z)
            for (int y = 0; y < 2; ++y)
              for (int x = 0; x < 2; ++x)
                v[z][y][x] =
                    logits[c * Voxels(from) +
                           IndexOf(from, std::min<int64_t>(a.axes[0].low[i] + x, from[0] - 1),
                                   std::min<int64_t>(a.axes[1].low[j] + y, from[1] - 1),
                                   std::min<int64_t>(a.axes[2].low[k] + z, from[2] - 1))];
          const float value =
              Trilinear(v, a.axes[0].weight[i], a.axes[1].weight[j], a.axes[2].weight[k]);
          if (value > best) {
            best = value;
            label = static_cast<uint8_t>(c);
          }
        }
        labels[IndexOf(a.size, a.at[0] + i, a.at[1] + j, a.at[2] + k)] = label;
      }
  return labels;
}

LabelExportArgs Args(int64_t classes, const Size3& from, const Size3& to) {
  LabelExportArgs args{.classes = classes, .size = to};
  for (size_t a = 0; a < 3; ++a) args.axes[a] = StretchedAxis(from[a], to[a]);
  return args;
}

RC_GTEST_PROP(LabelExport, IsTheLargestOfInterpolatedLogits, ()) {
  const auto draw = [] { return *rc::gen::inRange<int64_t>(1, 8); };
  const Size3 from = {draw(), draw(), draw()}, to = {2 * draw(), draw(), draw()};
  const int64_t classes = *rc::gen::inRange<int64_t>(1, 12);
  const auto logits = Logits(classes, from, *rc::gen::arbitrary<unsigned>(),
                             static_cast<float>(*rc::gen::inRange(0, 3)));
  ThreadPool pool(*rc::gen::inRange(1, 3));
  LabelExportArgs args = Args(classes, from, to);
  const std::vector<uint8_t> expected = Plainly(args, logits);
  for (bool shortcut : {true, false}) {
    args.shortcut = shortcut;
    std::vector<uint8_t> labels(Voxels(to), 99);
    ExportLabels(args, logits.data(), labels.data(), pool);
    RC_ASSERT(labels == expected);
  }
}

// Integers make many exact ties, and clusters of one leader.
RC_GTEST_PROP(LabelExport, BreaksTiesAndRoundingAlikeWithAndWithoutTheShortcut, ()) {
  const Size3 from = {6, 5, 4}, to = {17, 13, 9};
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  std::vector<float> logits(3 * Voxels(from));
  for (float& v : logits) v = static_cast<float>(random() % 2) * 0.1f + 1e6f;
  ThreadPool pool(2);
  LabelExportArgs args = Args(3, from, to);
  std::vector<uint8_t> with(Voxels(to)), without(Voxels(to));
  ExportLabels(args, logits.data(), with.data(), pool);
  args.shortcut = false;
  ExportLabels(args, logits.data(), without.data(), pool);
  RC_ASSERT(with == without);
  RC_ASSERT(with == Plainly(args, logits));
}

TEST(LabelExport, GivesTheSameInSlabsAsAtOnce) {
  const Size3 from = {5, 6, 9}, to = {11, 8, 20};
  const auto logits = Logits(4, from, 3);
  ThreadPool pool(2);
  std::vector<uint16_t> once(Voxels(to)), slabs(Voxels(to));
  ExportLabels(Args(4, from, to), logits.data(), once.data(), pool);
  LabelExporter<uint16_t> exporter(Args(4, from, to), slabs.data(), pool);
  const int64_t plane = from[0] * from[1];
  for (int64_t first : {0, 1, 5}) {
    const int64_t count = first == 0 ? 1 : 4;
    std::vector<float> part;  // [classes, count, J, I], gone after the call
    for (int64_t c = 0; c < 4; ++c)
      part.insert(part.end(), logits.begin() + (c * from[2] + first) * plane,
                  logits.begin() + (c * from[2] + first + count) * plane);
    exporter.Feed(first, count, part.data(), count * plane);
  }
  EXPECT_EQ(slabs, once);
}

TEST(LabelExport, InterpolatesOnlyWhereLeadersMeet) {
  const Size3 from = {16, 16, 16}, to = {48, 48, 48};
  std::vector<float> logits(2 * Voxels(from), 0);
  for (int64_t v = 0; v < Voxels(from); ++v) logits[(v % 16 < 8 ? 0 : 1) * Voxels(from) + v] = 1;
  ThreadPool pool(1);
  std::vector<uint8_t> labels(Voxels(to));
  LabelExporter<uint8_t> exporter(Args(2, from, to), labels.data(), pool);
  exporter.Feed(0, 16, logits.data(), Voxels(from));
  EXPECT_NEAR(exporter.InterpolatedShare(), 3.0 / 48, 1e-9);
  for (int64_t v = 0; v < Voxels(to); ++v) EXPECT_EQ(labels[v], v % 48 < 24 ? 0 : 1);
}

TEST(LabelExport, LeavesTheRestOfTheLabelMapAlone) {
  LabelExportArgs args = Args(2, {2, 2, 2}, {3, 3, 3});
  args.size = {6, 5, 4};
  args.at = {2, 1, 1};
  std::vector<uint8_t> labels(Voxels(args.size), 7);
  std::vector<float> logits(16, 0);
  std::fill(logits.begin() + 8, logits.end(), 1.0f);
  ThreadPool pool(1);
  ExportLabels(args, logits.data(), labels.data(), pool);
  EXPECT_EQ(std::count(labels.begin(), labels.end(), 1), 27);
  EXPECT_EQ(std::count(labels.begin(), labels.end(), 7), 120 - 27);
  EXPECT_EQ(labels[IndexOf(args.size, 2, 1, 1)], 1);
  EXPECT_EQ(labels[IndexOf(args.size, 1, 1, 1)], 7);
}

TEST(LabelExport, NeverPicksWhatIsNotANumber) {
  std::vector<float> logits = {NAN, NAN, NAN, NAN, -5, -5, -5, -5};
  ThreadPool pool(1);
  std::vector<uint8_t> labels(8);
  ExportLabels(Args(2, {4, 1, 1}, {8, 1, 1}), logits.data(), labels.data(), pool);
  EXPECT_EQ(labels, std::vector<uint8_t>(8, 1));
}

TEST(LabelExport, RefusesMoreClassesThanTheLabelMapHolds) {
  ThreadPool pool(1);
  uint8_t label = 0;
  EXPECT_THROW(LabelExporter<uint8_t>(Args(257, {1, 1, 1}, {1, 1, 1}), &label, pool), UsageError);
}

}  // namespace
}  // namespace orchard::volume
