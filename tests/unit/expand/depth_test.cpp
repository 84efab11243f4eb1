#include "expand/depth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "base/error.h"
#include "expand/slices.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

// "0 1 2 3 3' ...": new layers carry a prime.
std::string Text(const std::vector<LayerPlan>& layers) {
  std::string text;
  for (const LayerPlan& layer : layers) {
    text += (text.empty() ? "" : " ") + std::to_string(layer.source) + (layer.neutral ? "'" : "");
  }
  return text;
}

TEST(PlaceLayers, LastPutsNewLayersAfterTheLastOnes) {
  EXPECT_EQ(Text(PlaceLayers(6, 9, Placement::kLast)), "0 1 2 3 3' 4 4' 5 5'");
  EXPECT_EQ(Text(PlaceLayers(3, 6, Placement::kLast)), "0 0' 1 1' 2 2'");
  EXPECT_EQ(Text(PlaceLayers(3, 3, Placement::kLast)), "0 1 2");
}

// Beyond twice the layers the pass is repeated; only the first of a source layer is not new.
TEST(PlaceLayers, LastRepeatsBeyondTwiceTheLayers) {
  EXPECT_EQ(Text(PlaceLayers(2, 5, Placement::kLast)), "0 0' 1 1' 1'");
}

TEST(PlaceLayers, InterpolateSpreadsEachLayerOverItsRepeats) {
  EXPECT_EQ(Text(PlaceLayers(4, 6, Placement::kInterpolate)), "0 0' 1 2 2' 3");
}

TEST(PlaceLayers, StackAppendsTheWholeModelAgain) {
  EXPECT_EQ(Text(PlaceLayers(3, 5, Placement::kStack)), "0 1 2 0' 1'");
}

TEST(PlaceLayers, LlamaProPutsOneLayerAfterEveryGroup) {
  EXPECT_EQ(Text(PlaceLayers(6, 8, Placement::kLlamaPro)), "0 1 2 2' 3 4 5 5'");
}

TEST(PlaceLayers, LlamaProRefusesUnevenGroupsAndNamesLegalOnes) {
  try {
    PlaceLayers(6, 10, Placement::kLlamaPro);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kImpossible);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("7, 8, 9, 12"));
  }
}

TEST(LossyLayers, AreCopiesAndNeverNeutral) {
  EXPECT_EQ(Text(StackLayers(3, 5)), "0 1 2 0 1");
  EXPECT_EQ(Text(InterpolateLayers(3, 6)), "0 0 1 1 2 2");
  EXPECT_EQ(Text(SolarLayers(4, 1)), "0 1 2 1 2 3");
}

TEST(BlendLayers, StandEvenlyBetweenTheFirstAndTheLast) {
  const auto layers = BlendLayers(3, 5);  // 0, 1/2, 1, 3/2, 2
  EXPECT_EQ(Text(layers), "0 0 1 1 2");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(layers[i].next_share, i % 2 == 1 ? 0.5 : 0);
  for (const LayerPlan& layer : BlendLayers(4, 4)) EXPECT_EQ(layer.next_share, 0);
  EXPECT_EQ(Text(BlendLayers(1, 3)), "0 0 0");
}

TEST(BetweenLayers, PutNewOnesIntoTheLastGaps) {
  const auto layers = BetweenLayers(4, 6);
  EXPECT_EQ(Text(layers), "0 1 1' 2 2' 3");
  EXPECT_EQ(Text(BetweenLayers(3, 5)), "0 0' 1 1' 2");
  EXPECT_EQ(Text(BetweenLayers(2, 2)), "0 1");
  EXPECT_THROW(BetweenLayers(4, 8), ImpossibleError);
  EXPECT_THROW(BetweenLayers(2, 3), ImpossibleError);
}

TEST(SolarLayers, RefusesToDropEveryLayer) { EXPECT_THROW(SolarLayers(4, 4), UsageError); }

// Without its new layers, every placement is the source in order.
RC_GTEST_PROP(PlaceLayers, KeepsTheSourceInOrder, ()) {
  const int64_t source = *rc::gen::inRange<int64_t>(1, 12);
  const int64_t target = source + *rc::gen::inRange<int64_t>(0, 30);
  for (Placement placement : {Placement::kLast, Placement::kInterpolate, Placement::kStack}) {
    const auto layers = PlaceLayers(source, target, placement);
    RC_ASSERT(static_cast<int64_t>(layers.size()) == target);
    int64_t next = 0;
    for (const LayerPlan& layer : layers) {
      if (!layer.neutral) RC_ASSERT(layer.source == next++);
    }
    RC_ASSERT(next == source);
  }
}

TEST(Slices, ReadLayerRangesAndScales) {
  const orchard::testing::ScratchDir scratch;
  orchard::testing::WriteText(scratch / "s.yaml",
                              "slices:\n"
                              "  - sources:\n"
                              "      - layer_range: [0, 3]\n"
                              "  - sources:\n"
                              "      - layer_range: [1, 4]\n"
                              "        parameters:\n"
                              "          scale: [{filter: o_proj, value: 0.0}, {value: 1.0}]\n");
  const auto layers = ReadSlices(scratch / "s.yaml", 4);
  EXPECT_EQ(Text(layers), "0 1 2 1 2 3");
  EXPECT_EQ(layers[2].attention_scale, 1);
  EXPECT_EQ(layers[3].attention_scale, 0);
  EXPECT_EQ(layers[3].mlp_scale, 1);
}

TEST(Slices, RefuseRangesOutsideTheModel) {
  const orchard::testing::ScratchDir scratch;
  orchard::testing::WriteText(scratch / "s.yaml",
                              "slices:\n  - sources:\n      - layer_range: [0, 9]\n");
  EXPECT_THROW(ReadSlices(scratch / "s.yaml", 4), DataError);
}

}  // namespace
}  // namespace orchard::expand
