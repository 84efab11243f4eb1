// Generated models against totals that are known or have a closed form.
#include "place/models/models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "place/generate.h"
#include "place/groups.h"
#include "place/read_graph.h"

namespace orchard::place {
namespace {

int64_t Parameters(const Graph& graph) {
  int64_t bytes = 0;
  for (const Op& op : graph.ops) bytes += op.perm;
  return bytes / 4;
}

double Microseconds(const Graph& graph) {
  double us = 0;
  for (const Op& op : graph.ops) us += op.us;
  return us;
}

int64_t SavedBytes(const Graph& graph) {
  int64_t bytes = 0;
  for (const Op& op : graph.ops) {
    for (size_t k = 0; k < op.out.size(); ++k) bytes += op.saved[k] ? op.out[k] : 0;
  }
  return bytes;
}

const Op& Find(const Graph& graph, const std::string& name) {
  const auto found = std::find_if(graph.ops.begin(), graph.ops.end(),
                                  [&](const Op& op) { return op.name == name; });
  EXPECT_NE(found, graph.ops.end()) << name;
  return *found;
}

std::vector<std::string> Sinks(const Graph& graph) {
  std::vector<std::string> sinks;
  for (int32_t i = 0; i < graph.size(); ++i) {
    if (graph.OutDegree(i) == 0) sinks.push_back(graph.ops[i].name);
  }
  return sinks;
}

const std::vector<Model (*)(const ModelOptions&)> kModels = {InceptionV3, Gnmt, TransformerBase,
                                                             MixtureOfExperts, TwoTower};

}  // namespace

TEST(InceptionV3, HasThePublishedParametersAndOperations) {
  const Model model = InceptionV3({});
  // torchvision's inception_v3 has 27,161,264 parameters, 3,326,696 of them auxiliary.
  EXPECT_EQ(Parameters(model.graph), 27'161'264 - 3'326'696);
  EXPECT_EQ(model.parameters, Parameters(model.graph));
  // torchvision states 5.713 G multiplications and additions for an image.
  EXPECT_NEAR(model.dense_flops / 2 / 32, 5.713e9, 0.0005e9);
}

TEST(InceptionV3, EndsInTwoThousandChannelsOfEightByEight) {
  const Graph graph = InceptionV3({.batch = 2}).graph;
  EXPECT_EQ(Find(graph, "Mixed_7c/concat").out[0], 2 * 2048 * 8 * 8 * 4);
  EXPECT_EQ(Find(graph, "fc").perm, (2048 * 1000 + 1000) * 4);
  EXPECT_EQ(Find(graph, "Mixed_6e/concat").out[0], 2 * 768 * 17 * 17 * 4);
  EXPECT_EQ(Find(graph, "Mixed_5d/concat").out[0], 2 * 288 * 35 * 35 * 4);
}

TEST(InceptionV3, TakesTheTimeOfItsArithmetic) {
  const DevicePreset& preset = FindPreset("v100");
  const Graph graph = InceptionV3({.preset = "v100", .batch = 4}).graph;
  // 3x3 convolution of 32 to 64 channels on 147 x 147: bound by arithmetic or by memory, as it is.
  const double flops = 2.0 * 4 * 64 * 147 * 147 * 32 * 9;
  const double bytes = 4.0 * (4 * (32 + 64) * 147 * 147 + 64 * 32 * 9);
  const double us = std::max(flops / (preset.efficiency * preset.flops_per_second),
                             bytes / preset.bytes_per_second) *
                        1e6 +
                    preset.launch_us;
  const Op& conv = Find(graph, "Conv2d_2b_3x3/conv");
  EXPECT_DOUBLE_EQ(conv.us, us);
  EXPECT_DOUBLE_EQ(*conv.bwd_us, 2 * us);
  EXPECT_EQ(conv.perm, 64 * 32 * 9 * 4);
}

TEST(InceptionV3, SavesForTheBackwardPassWhatItNeeds) {
  const Graph graph = InceptionV3({.batch = 1}).graph;
  EXPECT_EQ(Find(graph, "Mixed_5b/branch1x1/conv").saved[0], 1);  // normalisation needs its input
  EXPECT_EQ(Find(graph, "Mixed_5b/branch1x1/bn").saved[0], 0);    // ReLU needs its output only
  EXPECT_EQ(Find(graph, "Mixed_5b/branch1x1/relu").saved[0], 1);
  EXPECT_EQ(Find(graph, "Mixed_5b/pool").saved[0], 1);  // a convolution reads it
}

TEST(GnmtModel, HasTheParametersOfItsMatrices) {
  const int64_t h = 48, v = 700, t = 5;
  const Model model = Gnmt({.batch = 3, .length = t, .vocabulary = v, .layers = 4, .hidden = h});
  const auto lstm = [&](int64_t in) { return (in + h) * 4 * h + 4 * h; };
  const int64_t encoder = 2 * lstm(h) + lstm(2 * h) + 2 * lstm(h);
  const int64_t decoder = 4 * lstm(2 * h);
  const int64_t attention = 2 * h * h + 2 * h + 1;
  EXPECT_EQ(Parameters(model.graph), 3 * v * h + encoder + decoder + attention);
}

TEST(GnmtModel, CountsTheArithmeticOfItsCells) {
  // Twice as many steps: twice the operations of cells and projection; attention grows faster.
  const auto cells = [](int64_t length) {
    double flops = 0;
    const Graph graph =
        Gnmt({.preset = "h100", .batch = 64, .length = length, .vocabulary = 100}).graph;
    for (const Op& op : graph.ops) flops += op.type == "MatMul" ? 1 : 0;
    return flops;
  };
  // Per step: 5 cells of the encoder, 4 of the decoder, a query, a projection; and the keys once.
  EXPECT_EQ(cells(7), 7 * 11 + 1);
  const DevicePreset& preset = FindPreset("h100");
  const Graph graph = Gnmt({.preset = "h100", .batch = 4096}).graph;
  const Op& cell = Find(graph, "decoder/layer2/t3/matmul");
  EXPECT_DOUBLE_EQ(cell.us, 8.0 * 4096 * 512 * (1024 + 512) /
                                    (preset.efficiency * preset.flops_per_second) * 1e6 +
                                preset.launch_us);
}

TEST(GnmtModel, GivesEveryCellAndAttentionStepAGroupAndEveryLayerADevice) {
  const int64_t length = 6;
  const Graph graph = Gnmt({.gpus = 3, .batch = 2, .length = length, .vocabulary = 50}).graph;
  std::map<std::string, int> groups;
  for (const Op& op : graph.ops) {
    if (!op.groups.empty()) ++groups[op.groups[0]];
  }
  // 9 layers and directions, attention, two embeddings.
  EXPECT_EQ(std::ssize(groups), 10 * length + 2);
  EXPECT_EQ(groups.at("encoder/layer0/backward/t2"), 13);
  EXPECT_EQ(groups.at("encoder/layer2/t2"), 14);  // and the residual
  EXPECT_EQ(groups.at("decoder/attention/t5"), 6);
  EXPECT_EQ(Find(graph, "encoder/layer2/t0/matmul").expert, 2);
  EXPECT_EQ(Find(graph, "decoder/layer3/t0/matmul").expert, 0);  // 3 mod 3
  EXPECT_EQ(Find(graph, "decoder/output/t1/logits").expert, 2);  // the last device
  EXPECT_EQ(Find(graph, "encoder/output/stack").expert, 0);
}

TEST(GnmtModel, HoldsSharedWeightsOnce) {
  const Graph graph = Gnmt({.batch = 2, .length = 3, .vocabulary = 50}).graph;
  EXPECT_EQ(graph.persistent_memory, PersistentMemory::kInOutputs);
  for (const Op& op : graph.ops) {
    if (op.perm > 0) {
      EXPECT_EQ(op.out, std::vector<int64_t>{op.perm}) << op.name;
    }
  }
}

TEST(TransformerBase, HasTheParametersOfItsMatrices) {
  const Model model = TransformerBase({});
  const int64_t d = 512, f = 2048, v = 30000;
  const int64_t attention = 4 * d * d + 2 * d, feed_forward = 2 * d * f + d + f + 2 * d;
  EXPECT_EQ(Parameters(model.graph),
            6 * (attention + feed_forward) + 6 * (2 * attention + feed_forward) + 3 * v * d);
  EXPECT_EQ(Parameters(model.graph), 90'181'632);
}

TEST(TransformerBase, CountsTheProductsOfPaperAndClosedForm) {
  const int64_t b = 4, n = 50, d = 512, f = 2048, v = 1000;
  const Model model = TransformerBase({.batch = b, .vocabulary = v});
  const double projections = 6.0 * 3 * 4 * 2 * b * n * d * d;  // of 18 attentions
  const double mixing = 6.0 * 3 * 2 * 2 * b * n * n * d;
  const double feed_forward = 12.0 * 2 * 2 * b * n * d * f;
  const double logits = 2.0 * b * n * d * v;
  const double products = projections + mixing + feed_forward + logits;
  EXPECT_DOUBLE_EQ(model.dense_flops, products);
  EXPECT_GT(model.flops, products);  // and normalisations, activations, sums
  EXPECT_LT(model.flops, products * 1.02);
}

TEST(TransformerBase, PutsTheDecoderOnTheSecondDevice) {
  const Graph graph = TransformerBase({.batch = 1, .vocabulary = 10}).graph;
  for (const Op& op : graph.ops) EXPECT_EQ(op.expert, op.name.starts_with("decoder/")) << op.name;
  for (const Op& op : TransformerBase({.gpus = 1, .batch = 1, .vocabulary = 10}).graph.ops)
    EXPECT_LE(op.expert, 0);
}

TEST(MixtureOfExperts, SendsEveryTokenToTopKExpertsOfBoundedCapacity) {
  const ModelOptions options{.batch = 2,
                             .length = 32,
                             .vocabulary = 100,
                             .layers = 3,
                             .hidden = 16,
                             .ffn = 24,
                             .heads = 4,
                             .experts = 5,
                             .top_k = 2};
  const Model model = MixtureOfExperts(options);
  const Op& dispatch = Find(model.graph, "layer1/mixture/dispatch");
  ASSERT_EQ(dispatch.out.size(), 6u);       // and what the backward pass needs
  EXPECT_EQ(dispatch.out[0], 32 * 16 * 4);  // ceil(1.25 * 64 * 2 / 5) tokens
  const int64_t expert = 16 * 24 + 24 + 24 * 16 + 16;
  const int64_t layer = 4 * 16 * 16 + 2 * 16 + 16 * 5 + 5 * expert + 2 * 16;
  EXPECT_EQ(Parameters(model.graph), 3 * layer + 2 * 100 * 16);
  EXPECT_EQ(Find(model.graph, "layer1/mixture/expert4/inner").expert, 0);  // 4 mod 4
}

TEST(TwoTower, HasTwoIndependentTowers) {
  const Model model =
      TwoTower({.batch = 8, .length = 3, .vocabulary = 1000, .layers = 2, .hidden = 32});
  const int64_t tower = 1000 * 128 + (128 * 32 + 32) + (32 * 32 + 32) + (32 * 128 + 128);
  EXPECT_EQ(Parameters(model.graph), 2 * tower);
  for (const Edge& edge : model.graph.edges) {
    const std::string &src = model.graph.ops[edge.src].name, &dst = model.graph.ops[edge.dst].name;
    EXPECT_FALSE(src.starts_with("query/") && dst.starts_with("item/")) << src << " " << dst;
  }
}

TEST(Models, EndInOneLoss) {
  for (const auto& make : kModels) {
    const Graph graph = make({.batch = 2}).graph;
    const std::vector<std::string> sinks = Sinks(graph);
    ASSERT_EQ(sinks.size(), 1u) << graph.name;
    EXPECT_TRUE(sinks[0].ends_with("loss")) << sinks[0];
  }
}

TEST(Models, AreTheSameModelAtBothLevels) {
  for (const auto& make : kModels) {
    const Graph fine = make({.batch = 2}).graph;
    const Graph coarse = make({.level = Level::kLayer, .batch = 2}).graph;
    EXPECT_LT(coarse.size(), fine.size());
    EXPECT_EQ(Parameters(coarse), Parameters(fine)) << fine.name;
    EXPECT_NEAR(Microseconds(coarse), Microseconds(fine), 1e-6 * Microseconds(fine)) << fine.name;
    EXPECT_EQ(SavedBytes(coarse), SavedBytes(fine)) << fine.name;
    EXPECT_EQ(Sinks(coarse).size(), 1u);
  }
}

TEST(Models, SurviveTheirFile) {
  for (const auto& make : kModels) {
    const Graph graph = make({.batch = 2}).graph;
    const Graph copy = ParseGraph(GraphToJson(graph), "copy");
    EXPECT_EQ(GraphHash(copy), GraphHash(graph)) << graph.name;
    EXPECT_EQ(copy.cost_source, "analytic");
  }
}

TEST(Models, KeepExpertsWithinTheDevicesAsked) {
  for (const auto& make : kModels) {
    for (const Op& op : make({.gpus = 2, .batch = 2}).graph.ops) EXPECT_LT(op.expert, 2) << op.name;
  }
}

TEST(Models, RefuseSizesThatTheyDoNotHave) {
  EXPECT_THROW(Generate({.shape = Shape::kInceptionV3, .model = {.length = 3}}, 0), UsageError);
  EXPECT_THROW(Generate({.shape = Shape::kTwoTower, .model = {.heads = 3}}, 0), UsageError);
  EXPECT_THROW(Generate({.shape = Shape::kTransformerBase, .model = {.heads = 3}}, 0), UsageError);
  EXPECT_THROW(Generate({.shape = Shape::kGnmt, .model = {.preset = "v10"}}, 0), UsageError);
  EXPECT_THROW(
      Generate({.shape = Shape::kMixtureOfExperts, .model = {.experts = 2, .top_k = 3}}, 0),
      UsageError);
}

}  // namespace orchard::place
