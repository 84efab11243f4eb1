// What growing a residual network writes, tensor by tensor, in closed forms and properties.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <map>

#include "arch/resnet.h"
#include "base/error.h"
#include "expand/plan.h"
#include "expand/resnet_sizes.h"
#include "tiny_model.h"
#include "tiny_resnet.h"

namespace orchard::expand {
namespace {

using arch::ResNetShape;
using ::testing::HasSubstr;

struct Tiny : TinySource {
  explicit Tiny(const ResNetShape& shape, io::DType dtype = io::DType::kF32)
      : TinySource([&](const auto& path) { WriteTinyResNet(path, shape, dtype); }) {}
  explicit Tiny(bool bottleneck) : Tiny(TinyResNet(bottleneck)) {}
};

std::map<std::string, std::vector<int64_t>> ShapesOf(const Plan& plan) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const TensorOp& op : plan.tensors) shapes[op.name] = op.shape;
  return shapes;
}

// Without the counters, which these sources do not have.
std::map<std::string, std::vector<int64_t>> ShapesOf(const ResNetShape& shape) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const arch::ResNetTensor& t : arch::ResNetTensors(shape)) {
    if (!t.shape.empty()) shapes[t.name] = t.shape;
  }
  return shapes;
}

// ---- width -----------------------------------------------------------------------------------

TEST(ResNetPlan, ResNet50BecomesAWideResNet101) {
  // The paper's growth, at a sixteenth of the width.
  ResNetShape source = arch::FindResNet("resnet50"), target = arch::FindResNet("wide_resnet101_2");
  for (ResNetShape* shape : {&source, &target}) {
    shape->stem /= 16;
    shape->inner /= 16;
  }
  const Tiny tiny(source);
  const Plan plan = tiny.Grow({.width_per_group = 8, .depths = {3, 4, 23, 3}});
  EXPECT_EQ(ShapesOf(plan), ShapesOf(target));
  EXPECT_EQ(arch::ParseResNetConfig(plan.config, "").inner, 8);
  EXPECT_TRUE(plan.lossless);
  EXPECT_EQ(plan.exactness, Exactness::kExact);
}

TEST(ResNetPlan, InnerGrowthLeavesStemAndClassifierAlone) {
  const Tiny tiny(true);
  const Plan plan = tiny.Grow({.width_per_group = 7});
  for (const char* name : {"conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight",
                           "layer4.1.bn3.bias", "fc.weight", "fc.bias"}) {
    EXPECT_EQ(tiny.Values(plan, name), tiny.Source(name)) << name;
  }
}

TEST(ResNetPlan, NormsAreCopiedAroundTheCircle) {
  const Tiny tiny(true);
  const Plan plan = tiny.Grow({.width_per_group = 11});
  for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
    const std::string name = std::string("layer1.0.bn2.") + part;
    const auto from = tiny.Source(name), to = tiny.Values(plan, name);
    ASSERT_EQ(to.size(), 11u);
    for (size_t i = 0; i < to.size(); ++i) EXPECT_EQ(to[i], from[i % 4]) << name;
  }
}

// Sum over the copies of an input channel of a stored kernel, in the source's shape with the
// target's rows. Wider than double, where partial sums of f64 would round.
std::vector<long double> SumOfCopies(const std::vector<double>& kernel, int64_t rows, int64_t in,
                                     int64_t source_in) {
  const int64_t passengers = static_cast<int64_t>(kernel.size()) / (rows * in);
  std::vector<long double> sum(rows * source_in * passengers, 0.0L);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < in; ++c) {
      for (int64_t p = 0; p < passengers; ++p) {
        sum[(i * source_in + c % source_in) * passengers + p] +=
            kernel[(i * in + c) * passengers + p];
      }
    }
  }
  return sum;
}

TEST(ResNetPlan, SplitKernelsSumExactlyInEveryStoredType) {
  for (const io::DType dtype : {io::DType::kBF16, io::DType::kF32, io::DType::kF64}) {
    const Tiny tiny(TinyResNet(true), dtype);
    const Plan plan = tiny.Grow({.width_per_group = 11});
    const auto from = tiny.Source("layer1.0.conv2.weight");  // [4, 4, 3, 3]
    const auto sum = SumOfCopies(tiny.Values(plan, "layer1.0.conv2.weight"), 11, 11, 4);
    for (int64_t i = 0; i < 11; ++i) {
      for (int64_t k = 0; k < 36; ++k) EXPECT_EQ(sum[i * 36 + k], from[i % 4 * 36 + k]);
    }
  }
}

TEST(ResNetPlan, CopiesOfAChannelDiffer) {
  const Tiny tiny(true);
  const auto kernel =
      tiny.Values(tiny.Grow({.width_per_group = 8}), "layer1.0.conv2.weight");  // [8, 8, 3, 3]
  for (int64_t i = 0; i < 4; ++i) {
    const auto row = kernel.begin() + i * 72, copy = kernel.begin() + (i + 4) * 72;
    EXPECT_FALSE(std::equal(row, row + 72, copy));
  }
}

TEST(ResNetPlan, NoiseHasTheSizeOfTheTargetsInitialiser) {
  // Parts are w / 2 + (n1 - n2) / 2, with He's deviation for 3 x 3 kernels onto 64 channels.
  ResNetShape shape = TinyResNet(true);
  shape.inner = 32;
  const Tiny tiny(shape);
  MethodOptions method;
  method.split = Split::kProjection;
  const auto from = tiny.Source("layer1.0.conv2.weight"),
             to = tiny.Values(tiny.Grow({.width_per_group = 64}, method), "layer1.0.conv2.weight");
  double squares = 0;
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t k = 0; k < 32 * 9; ++k) {
      const double noise = to[i * 64 * 9 + k] - from[i % 32 * 32 * 9 + k] / 2;
      squares += noise * noise;
    }
  }
  const double measured = std::sqrt(squares / (64 * 32 * 9));
  const double expected = std::sqrt(2.0 / (64 * 9)) / std::sqrt(2.0);  // half a difference of two
  EXPECT_NEAR(measured, expected, 0.03 * expected);
}

TEST(ResNetPlan, AllChannelsGrowTogether) {
  for (const bool bottleneck : {false, true}) {
    const Tiny tiny(bottleneck);
    const Plan plan = tiny.Grow({.width_per_group = 9, .channels = 6});
    ResNetShape target = TinyResNet(bottleneck);
    target.stem = 6;
    target.inner = 9;
    EXPECT_EQ(ShapesOf(plan), ShapesOf(target));
    EXPECT_EQ(plan.exactness, Exactness::kExact);
  }
}

TEST(ResNetPlan, InnerWidthFollowsTheChannelsOfBasicBlocksOnly) {
  EXPECT_EQ(Tiny(false).Grow({.channels = 10}).target.resnet->inner, 10);
  EXPECT_EQ(Tiny(true).Grow({.channels = 10}).target.resnet->inner, 4);
}

RC_GTEST_PROP(ResNetPlan, EveryGrowthHasTheTensorsOfItsTargetAndCoversItsSource, ()) {
  ResNetShape shape{.bottleneck = *rc::gen::arbitrary<bool>(), .classes = 3, .image_channels = 1};
  shape.stem = *rc::gen::inRange(1, 5);
  shape.inner = *rc::gen::inRange(1, 5);
  TargetOptions target;
  target.channels = shape.stem + *rc::gen::inRange(0, 9);
  target.width_per_group = shape.inner + *rc::gen::inRange(0, 9);
  ResNetShape grown = shape;
  grown.stem = *target.channels;
  grown.inner = *target.width_per_group;
  for (int stage = 0; stage < arch::kResNetStages; ++stage) {
    shape.blocks[stage] = *rc::gen::inRange(2, 4);
    grown.blocks[stage] = shape.blocks[stage] + *rc::gen::inRange(0, 5);
    target.depths.push_back(grown.blocks[stage]);
  }
  MethodOptions method;
  method.placement =
      *rc::gen::element(Placement::kLast, Placement::kStack, Placement::kInterpolate);
  const Tiny tiny(shape);
  const Plan plan = tiny.Grow(target, method);
  RC_ASSERT(ShapesOf(plan) == ShapesOf(grown));
  for (const TensorOp& op : plan.tensors) {
    if (op.rows) RC_ASSERT(op.rows->covers_every_source());
    if (op.columns) RC_ASSERT(op.columns->covers_every_source());
  }
}

// ---- depth -----------------------------------------------------------------------------------

std::vector<int64_t> NewBlocks(const Plan& plan) {
  std::vector<int64_t> blocks;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    if (plan.layers[i].neutral) blocks.push_back(static_cast<int64_t>(i));
  }
  return blocks;
}

TEST(ResNetDepth, PlacementsStandWhereTheySay) {
  ResNetShape shape = TinyResNet(true);
  shape.blocks = {3, 2, 2, 2};
  const Tiny tiny(shape);
  const auto sources = [&](Placement placement) {
    MethodOptions method;
    method.placement = placement;
    const Plan plan = tiny.Grow({.depths = {5, 2, 2, 2}}, method);
    std::vector<int64_t> list;
    for (int64_t i = 0; i < 5; ++i) list.push_back(plan.layers[i].source);
    return std::pair(list, NewBlocks(plan));
  };
  using Blocks = std::vector<int64_t>;
  EXPECT_EQ(sources(Placement::kLast), std::pair(Blocks({0, 1, 1, 2, 2}), Blocks({2, 4})));
  // Block 0 has a convolution beside it: its repeats are repeats of block 1.
  EXPECT_EQ(sources(Placement::kStack), std::pair(Blocks({0, 1, 2, 1, 1}), Blocks({3, 4})));
  EXPECT_EQ(sources(Placement::kInterpolate), std::pair(Blocks({0, 1, 1, 1, 2}), Blocks({1, 3})));
}

TEST(ResNetDepth, TheFirstBasicBlockCanBeRepeated) {
  MethodOptions method;
  method.placement = Placement::kStack;
  const Plan plan = Tiny(false).Grow({.depths = {3, 2, 1, 2}}, method);
  EXPECT_EQ(plan.layers[2].source, 0);
}

TEST(ResNetDepth, NewBlocksEndInASilentNorm) {
  for (const bool bottleneck : {false, true}) {
    const Tiny tiny(bottleneck);
    const Plan plan = tiny.Grow({.width_per_group = 6, .depths = {3, 2, 1, 2}});
    const std::string last = bottleneck ? "layer1.2.bn3." : "layer1.2.bn2.";
    for (const char* part : {"weight", "bias"}) {
      for (double value : tiny.Values(plan, last + part)) EXPECT_EQ(value, 0);
    }
    // What is before it is that of the block beside, so that it learns at once.
    EXPECT_EQ(tiny.Values(plan, "layer1.2.bn1.weight"), tiny.Values(plan, "layer1.1.bn1.weight"));
    EXPECT_NE(tiny.Values(plan, last + "running_var"), std::vector<double>(16, 0.0));
    EXPECT_EQ(FindOp(plan, last + "weight").new_layer, true);
    EXPECT_EQ(FindOp(plan, "layer1.1.bn1.weight").new_layer, false);
  }
}

TEST(ResNetDepth, AStageOfOneStridingBlockCannotGrow) {
  try {
    Tiny(true).Grow({.depths = {2, 2, 3, 2}});
    FAIL();
  } catch (const ImpossibleError& e) {
    EXPECT_THAT(e.what(), HasSubstr("stage 3"));
    EXPECT_THAT(e.what(), HasSubstr("--depths 2,2,1,2"));
  }
}

TEST(ResNetDepth, LlamaProNamesTheCountsThatDivide) {
  ResNetShape shape = TinyResNet(true);
  shape.blocks = {4, 2, 2, 2};
  const Tiny tiny(shape);
  EXPECT_EQ(NewBlocks(tiny.Grow({.depths = {6, 2, 2, 2}}, With(Method::kLlamaPro))),
            (std::vector<int64_t>{2, 5}));
  try {
    tiny.Grow({.depths = {7, 2, 2, 2}}, With(Method::kLlamaPro));
    FAIL();
  } catch (const ImpossibleError& e) {
    EXPECT_THAT(e.what(), HasSubstr("5, 6, 8"));
  }
}

// ---- what is refused, and other methods ------------------------------------------------------

TEST(ResNetPlan, RefusesWhatItCannotDo) {
  const Tiny tiny(true);
  EXPECT_THROW(tiny.Grow({.width_per_group = 3}), UsageError);
  EXPECT_THROW(tiny.Grow({.channels = 3}), UsageError);
  EXPECT_THROW(tiny.Grow({.depths = {2, 2, 1, 1}}), UsageError);
  EXPECT_THROW(tiny.Grow({.depths = {2, 2, 1}}), UsageError);
  EXPECT_THROW(tiny.Grow({.hidden = 8}), UsageError);
  EXPECT_THROW(tiny.Grow({.width_per_group = 4 * kMaxCopies + 1}), ImpossibleError);
  MethodOptions cancel;
  cancel.depth_type = DepthType::kCancel;
  EXPECT_THROW(tiny.Grow({.depths = {3, 2, 1, 2}}, cancel), ImpossibleError);
  for (const Method method :
       {Method::kAki, Method::kSolar, Method::kSlices, Method::kLigoInit, Method::kLesa}) {
    EXPECT_THROW(tiny.Grow({.width_per_group = 8}, With(method)), ImpossibleError);
  }
  EXPECT_THROW(tiny.Grow({.width_per_group = 6}, With(Method::kHyperCloning)), ImpossibleError);
}

TEST(ResNetPlan, TransformersHaveNoSizesOfResNets) {
  const orchard::testing::ScratchDir scratch;
  WriteTinyModel(scratch.path(), TinyGpt2(), io::DType::kF32);
  const SourceModel model = OpenModel(scratch.path(), {});
  EXPECT_THROW(MakePlan(model, {.channels = 128}, {}), UsageError);
  EXPECT_THROW(MakePlan(model, {.depths = {1, 1, 1, 1}}, {}), UsageError);
}

TEST(ResNetPlan, EqualSplitsDivideByTheCopies) {
  const Tiny tiny(TinyResNet(true), io::DType::kF64);
  const auto from = tiny.Source("layer1.0.conv3.weight"),  // [16, 4, 1, 1]
      to = tiny.Values(tiny.Grow({.width_per_group = 8}, With(Method::kHyperCloning)),
                       "layer1.0.conv3.weight");
  for (int64_t i = 0; i < 16; ++i) {
    for (int64_t c = 0; c < 8; ++c) EXPECT_EQ(to[i * 8 + c], from[i * 4 + c % 4] / 2);
  }
}

TEST(ResNetPlan, ZeroPaddingIsNotRead) {
  const Tiny tiny(true);
  const Plan plan = tiny.Grow({.width_per_group = 6}, With(Method::kZeroPad));
  const auto from = tiny.Source("layer1.0.conv3.weight"),
             to = tiny.Values(plan, "layer1.0.conv3.weight");
  for (int64_t i = 0; i < 16; ++i) {
    for (int64_t c = 0; c < 6; ++c) EXPECT_EQ(to[i * 6 + c], c < 4 ? from[i * 4 + c] : 0);
  }
  const auto variance = tiny.Values(plan, "layer1.0.bn2.running_var");
  EXPECT_EQ(variance[4], 1);
}

TEST(ResNetPlan, ANetworkThatTorchvisionHasNotIsSaidToBeOne) {
  ResNetShape basic = arch::FindResNet("resnet18");
  basic.classes = 2;
  const Tiny tiny(basic);
  EXPECT_TRUE(tiny.Grow({.depths = {3, 4, 6, 3}}).warnings.empty());
  EXPECT_THAT(tiny.Grow({.width_per_group = 96}).warnings.at(0), HasSubstr("torchvision"));
}

}  // namespace
}  // namespace orchard::expand
