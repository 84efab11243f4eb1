// The promises of the training loop on a model that trains in milliseconds.
#include "expand/train.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/optimizer_state.h"
#include "expand/plan.h"
#include "expand/provenance.h"
#include "expand/train_model.h"
#include "expand/unit_divergence.h"
#include "io/safetensors.h"
#include "nn/model_directory.h"
#include "unit/expand/tiny_resnet.h"
#include "unit/expand/tiny_training.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

TEST(Train, LowersTheLoss) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.sched.steps = 60;
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_NEAR(*result.first_valid_loss, std::log(259.0), 0.1);  // knows nothing yet
  EXPECT_LT(*result.valid_loss, *result.first_valid_loss - 1);
}

TEST(Train, ResumesToTheSameBits) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.model.dropout = 0.1;
  TrainInto(scratch / "plain", options);

  options.run.ranks = 1;
  TrainOneStepInto(scratch / "stopped", options);
  EXPECT_EQ(Metrics(scratch / "stopped").back()["step"], 1);
  TrainInto(scratch / "stopped", options, true);

  EXPECT_EQ(FinalWeights(scratch / "plain"), FinalWeights(scratch / "stopped"));
  EXPECT_EQ(ReadText(scratch / "plain/final-ema/model.safetensors"),
            ReadText(scratch / "stopped/final-ema/model.safetensors"));
  EXPECT_EQ(Metrics(scratch / "plain"), Metrics(scratch / "stopped"));
}

TEST(Train, RanksEqualMicroBatches) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.model.dropout = 0.1;
  options.data.kind = DataKind::kMlm;  // the ranks predict different numbers of tokens
  options.model.type = "bert_preln";
  options.run.accum = 3;
  TrainInto(scratch / "accumulated", options);
  options.run.accum = 1;
  options.run.ranks = 3;
  TrainInto(scratch / "ranks", options);
  EXPECT_EQ(FinalWeights(scratch / "accumulated"), FinalWeights(scratch / "ranks"));
}

TEST(Train, OneLargeBatchIsManySmallOnes) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.run.precision = Precision::kF64;
  options.model.dropout = 0;  // its masks are drawn for each pass
  options.run.batch = 6;
  const TrainResult large = TrainInto(scratch / "large", options);
  options.run.batch = 2;
  options.run.ranks = 3;
  const TrainResult small = TrainInto(scratch / "small", options);
  EXPECT_NEAR(large.loss, small.loss, 1e-9);
}

// 37 samples: no batch below divides them.
TEST(Train, ValidationDependsNeitherOnTheBatchNorOnTheRanks) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.run.precision = Precision::kF64;
  options.run.eval_batches = 0;
  options.data.characters = 18000;
  options.sched.steps = 1;
  std::optional<double> alone;
  for (const int64_t batch : {1, 4, 5, 64}) {
    options.run.batch = batch;
    std::optional<double> one_rank;
    for (const int64_t ranks : {1, 2, 3}) {
      options.run.ranks = ranks;
      const double loss =
          *TrainInto(scratch / fmt::format("{}-{}", batch, ranks), options).first_valid_loss;
      if (!one_rank) one_rank = loss;
      EXPECT_EQ(loss, *one_rank) << ranks << " ranks";
      if (!alone) alone = loss;
      EXPECT_NEAR(loss, *alone, 1e-12) << "batches of " << batch;
    }
  }
}

// 24 wide and 3 deep.
const TargetOptions kGrown{.hidden = 24, .layers = 3};

TEST(Train, AnExpandedModelStartsAtItsSourcesLoss) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  const TrainResult source = TrainAndGrow(scratch, options, kGrown);
  options.run.precision = Precision::kF64;
  options.model.path = scratch / "grown";
  options.sched.steps = 1;
  const TrainResult grown = TrainInto(scratch / "trained", options);
  EXPECT_NEAR(*grown.first_valid_loss, *source.valid_loss, 1e-9);
}

TEST(Train, ReportsHowFarCopiesAreApart) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  TrainAndGrow(scratch, options, kGrown);
  options.run.precision = Precision::kF64;
  options.model.path = scratch / "grown";
  options.model.dropout = 0;
  options.run.divergence_every = 3;
  const TrainResult result = TrainInto(scratch / "trained", options);
  std::vector<int64_t> steps;
  std::vector<double> divergence;
  for (const nlohmann::json& line : Metrics(scratch / "trained")) {
    if (!line.contains("copy_divergence")) continue;
    steps.push_back(line["step"]);
    divergence.push_back(line["copy_divergence"]);
  }
  EXPECT_THAT(steps, ::testing::ElementsAre(0, 3, 6, 8));
  EXPECT_DOUBLE_EQ(
      divergence.front(),
      *UnitDivergence(nn::ModelDirectory::Open(scratch / "grown").LoadTransformer(at::kDouble),
                      *ReadCopyMaps(scratch / "grown")));
  EXPECT_EQ(divergence.back(), *result.copy_divergence);
  EXPECT_NE(divergence.front(), divergence.back());
  // A model that is no expansion has no copies.
  EXPECT_FALSE(Metrics(scratch / "source").back().contains("copy_divergence"));
}

TEST(Train, EqualSplitsStayEqual) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.run.precision = Precision::kF64;
  options.opt.ema = 0;
  options.model.dropout = 0;
  TrainInto(scratch / "source", options);
  const SourceModel source = OpenModel(scratch / "source/final", {});
  for (const Split split : {Split::kEqual, Split::kGrid}) {
    const MethodOptions method{.split = split};
    const std::filesystem::path grown = scratch / (split == Split::kEqual ? "equal" : "grid"),
                                run = grown / "run";
    ExpandModel(source, MakePlan(source, {.hidden = 32}, method), method, grown, {});
    options.model.path = grown;
    const TrainResult result = TrainInto(run, options);
    if (split == Split::kEqual) {
      EXPECT_LT(*result.copy_divergence, 1e-12);
    } else {
      EXPECT_GT(*result.copy_divergence, 1e-3);
    }
  }
}

TEST(Train, LeavesOldLayersAloneWhenAskedTo) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  TrainAndGrow(scratch, options, kGrown);
  options.run.precision = Precision::kF64;
  options.model.path = scratch / "grown";
  options.model.train = Trained::kNew;
  TrainInto(scratch / "trained", options);
  const io::Checkpoint before = io::Checkpoint::Open(scratch / "grown");
  const io::Checkpoint after = io::Checkpoint::Open(scratch / "trained/final");
  // Two layers became three by a copy of the last one behind it.
  for (const io::TensorInfo& tensor : before.tensors()) {
    const auto a = before.Bytes(tensor), b = after.Bytes(after.Get(tensor.name));
    const bool is_new = tensor.name.find("h.2.") != std::string::npos;
    EXPECT_EQ(std::equal(a.begin(), a.end(), b.begin(), b.end()), !is_new) << tensor.name;
  }
}

TEST(Train, KeepsNoStateForWhatItLeavesAlone) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  TrainAndGrow(scratch, options, kGrown);
  options.model.path = scratch / "grown";
  options.model.train = Trained::kNew;
  options.opt.ema = 0;
  TrainOneStepInto(scratch / "stopped", options);
  const std::filesystem::path checkpoint = scratch / "stopped/checkpoints/step-0000001";
  const io::Checkpoint state = io::Checkpoint::Open(checkpoint / "optimizer.safetensors");
  EXPECT_FALSE(state.tensors().empty());
  for (const io::TensorInfo& tensor : state.tensors()) {
    EXPECT_THAT(tensor.name, ::testing::HasSubstr("h.2."));
  }
  options.run.ranks = 1;
  const TrainResult resumed = TrainInto(scratch / "stopped", options, true);
  EXPECT_LT(resumed.trained_parameters, resumed.parameters);
  TrainInto(scratch / "plain", options);
  EXPECT_EQ(FinalWeights(scratch / "plain"), FinalWeights(scratch / "stopped"));
}

TEST(Train, RecomputedLayersTrainToTheSameBits) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.model.dropout = 0.1;
  options.run.accum = 2;
  TrainInto(scratch / "kept", options);
  options.model.grad_checkpoint = true;
  TrainInto(scratch / "recomputed", options);
  EXPECT_EQ(FinalWeights(scratch / "kept"), FinalWeights(scratch / "recomputed"));
}

// Two copies of every input: their parts move half as far each.
TEST(Train, SplitMapsLearnAtOneOverTheirCopies) {
  const ScratchDir scratch;
  TrainAndGrow(scratch, TinyTraining(), {.hidden = 32, .ffn = 128});
  TrainModelOptions options;
  options.path = scratch / "grown";
  TrainModel model = OpenTrainModel(options, {}, DataKind::kClm, Precision::kF32, 0);
  std::map<std::string, double> scale;
  for (const auto& t : TrainedTensors(model, Trained::kAll, {}, SplitRate::kInverse)) {
    scale[t.name.substr(t.name.find('.') + 1)] = t.lr_scale;
  }
  EXPECT_EQ(scale.at("wte.weight"), 1);
  EXPECT_EQ(scale.at("h.0.ln_1.weight"), 1);
  EXPECT_EQ(scale.at("h.0.attn.c_attn.bias"), 1);
  EXPECT_EQ(scale.at("h.0.attn.c_attn.weight"), 0.5);
  EXPECT_EQ(scale.at("h.0.attn.c_proj.weight"), 0.5);
  EXPECT_EQ(scale.at("h.1.mlp.c_proj.weight"), 0.5);
  for (const auto& t : TrainedTensors(model, Trained::kAll, {}, SplitRate::kOne)) {
    EXPECT_EQ(t.lr_scale, 1);
  }
}

TEST(Train, KeepsTheModelOfTheBestValidation) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.opt.ema = 0;
  options.run.keep_best = true;
  options.opt.lr = 0.3;  // gets worse in the end
  options.sched.schedule.kind = nn::ScheduleKind::kLinear;
  options.sched.schedule.warmup = 7;
  options.run.eval_every = 1;
  const TrainResult result = TrainInto(scratch / "run", options);
  double best = INFINITY;
  int64_t step = 0;
  for (const nlohmann::json& line : Metrics(scratch / "run")) {
    if (line["step"] == 0 || line["valid_loss"] >= best) continue;
    best = line["valid_loss"];
    step = line["step"];
  }
  EXPECT_EQ(result.best->loss, best);
  EXPECT_EQ(result.best->step, step);
  EXPECT_LT(step, 8);
  EXPECT_NE(FinalWeights(scratch / "run"), ReadText(scratch / "run/best/model.safetensors"));
}

TEST(Train, SaysWhenItDiverges) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.opt.lr = 1e30;
  EXPECT_THROW(TrainInto(scratch / "run", options), DivergedError);
}

TEST(Train, ClassifiesImages) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.data.kind = DataKind::kImage;
  options.data.train = "shapes";
  options.data.images = 200;
  options.model.type = "vit";
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_TRUE(result.accuracy.has_value());
  EXPECT_NEAR(*result.first_valid_loss, std::log(10.0), 0.2);
}

// ---- batch norms -----------------------------------------------------------------------------

// A residual network of 4 channels on shapes of 16 x 16; its sizes come from config.json.
TrainOptions TinyNetwork(const ScratchDir& scratch) {
  WriteTinyResNet(scratch / "network", TinyResNet(true), io::DType::kF32);
  TrainOptions o = TinyTraining();
  o.data.kind = DataKind::kImage;
  o.data.train = "shapes";
  o.data.images = 200;
  o.model.path = scratch / "network";
  o.model.init = Initial::kRandom;
  o.opt.name = nn::OptimizerKind::kSgd;
  o.opt.ema = 0;
  o.opt.lr = 0.05;
  o.opt.no_decay = {};
  o.run.batch = 4;
  return o;
}

TEST(TrainBatchNorm, MovesTheStatisticsAndKeepsThemInCheckpoints) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  TrainInto(scratch / "plain", options);
  const io::Checkpoint final = io::Checkpoint::Open(scratch / "plain/final");
  const auto count = final.Bytes(final.Get("bn1.num_batches_tracked"));
  EXPECT_EQ(*reinterpret_cast<const int64_t*>(count.data()), 8);

  options.run.ranks = 1;
  TrainOneStepInto(scratch / "stopped", options);
  TrainInto(scratch / "stopped", options, true);
  EXPECT_EQ(FinalWeights(scratch / "plain"), FinalWeights(scratch / "stopped"));
  EXPECT_EQ(Metrics(scratch / "plain"), Metrics(scratch / "stopped"));
}

TEST(TrainBatchNorm, RanksEqualMicroBatches) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  options.run.accum = 3;
  TrainInto(scratch / "accumulated", options);
  options.run.accum = 1;
  options.run.ranks = 3;
  TrainInto(scratch / "ranks", options);
  EXPECT_EQ(FinalWeights(scratch / "accumulated"), FinalWeights(scratch / "ranks"));
}

// Trains a network in f64 and grows it in width and depth; what training the source found.
TrainResult GrowNetwork(const ScratchDir& scratch, TrainOptions& options) {
  options.run.precision = Precision::kF64;
  const TrainResult result = TrainInto(scratch / "source", options);
  const SourceModel source = OpenModel(scratch / "source/final", {});
  const TargetOptions target{.width_per_group = 8, .depths = {3, 2, 1, 2}};
  ExpandModel(source, MakePlan(source, target, {}), {}, scratch / "grown", {});
  options.model.path = scratch / "grown";
  options.model.init = Initial::kLoad;
  return result;
}

TEST(TrainBatchNorm, AnExpandedNetworkStartsAtItsSourcesLoss) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  const TrainResult source = GrowNetwork(scratch, options);
  options.sched.steps = 1;
  const TrainResult grown = TrainInto(scratch / "trained", options);
  EXPECT_NEAR(*grown.first_valid_loss, *source.valid_loss, 1e-9);
}

TEST(TrainBatchNorm, NewBlocksAloneLearnWhenAskedTo) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  GrowNetwork(scratch, options);
  options.model.train = Trained::kNew;
  TrainInto(scratch / "trained", options);
  const io::Checkpoint before = io::Checkpoint::Open(scratch / "grown");
  const io::Checkpoint after = io::Checkpoint::Open(scratch / "trained/final");
  for (const io::TensorInfo& tensor : before.tensors()) {
    // Statistics are measured everywhere, whatever is trained.
    const bool measured = tensor.name.find("running_") != std::string::npos ||
                          tensor.name.ends_with("num_batches_tracked");
    const bool is_new = tensor.name.starts_with("layer1.2.");
    const auto a = before.Bytes(tensor), b = after.Bytes(after.Get(tensor.name));
    EXPECT_EQ(std::equal(a.begin(), a.end(), b.begin(), b.end()), !is_new && !measured)
        << tensor.name;
  }
}

TEST(TrainBatchNorm, OptimiserStateGrowsWithTheNetwork) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  options.run.ranks = 1;
  TrainOneStepInto(scratch / "stopped", options);
  const std::filesystem::path step = scratch / "stopped/checkpoints/step-0000001";
  const SourceModel source = OpenModel(step, {});
  const io::Checkpoint state = io::Checkpoint::Open(step / "optimizer.safetensors");
  const Plan plan = MakePlan(source, {.width_per_group = 8, .depths = {3, 2, 1, 2}}, {});
  const std::filesystem::path path = scratch / "grown.safetensors";
  GrowOptimizerState(state, source, plan, StateGrowth::kMap, 0, path);
  const io::Checkpoint grown = io::Checkpoint::Open(path);
  const auto values = [](const io::Checkpoint& c, const std::string& name) {
    const auto bytes = c.Bytes(c.Get(name));
    const auto* begin = reinterpret_cast<const float*>(bytes.data());
    return std::vector<float>(begin, begin + bytes.size() / sizeof(float));
  };
  const std::string gain = "momentum_buffer.layer1.1.bn1.weight";
  const std::vector<float> from = values(state, gain), to = values(grown, gain);
  ASSERT_EQ(to.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(to[i], from[i % 4] / 2);       // two copies share
  EXPECT_EQ(grown.Find("momentum_buffer.layer1.2.bn1.weight"), nullptr);  // a new block
  EXPECT_EQ(grown.Find("momentum_buffer.bn1.running_mean"), nullptr);     // measured
}

TEST(TrainBatchNorm, GrowsWithinARun) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  options.run.precision = Precision::kF64;
  options.expand.staged = {"at_step=4 width_per_group=8 depths=3,2,1,2"};
  const TrainResult result = TrainInto(scratch / "run", options);
  ASSERT_EQ(result.stages.size(), 2u);
  EXPECT_GT(result.stages[1].parameters, result.stages[0].parameters);
  EXPECT_NEAR(*result.stages[1].loss_after, *result.stages[1].loss_before, 1e-9);
}

TEST(TrainBatchNorm, RefusesDropout) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  options.model.dropout = 0.1;
  EXPECT_THROW(TrainInto(scratch / "run", options), UsageError);
}

TEST(TrainBatchNorm, NamedNetworksNeedNoDirectory) {
  const ScratchDir scratch;
  TrainOptions options = TinyNetwork(scratch);
  options.model.path.clear();
  options.model.type = "resnet18";
  options.sched.steps = 1;
  options.run.eval_batches = 1;
  const TrainResult result = TrainInto(scratch / "run", options);
  // 11689512 with 1000 classes and three channels; here ten and one.
  EXPECT_EQ(result.trained_parameters, 11689512 - 990 * 513 - 2 * 64 * 49);
}

}  // namespace
}  // namespace orchard::expand
