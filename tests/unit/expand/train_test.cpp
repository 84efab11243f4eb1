// The promises of the training loop on a model that trains in milliseconds.
#include "expand/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/signals.h"
#include "comm/launch.h"
#include "expand/expand_model.h"
#include "expand/optimizer_state.h"
#include "expand/plan.h"
#include "io/json_lines.h"
#include "io/safetensors.h"
#include "run/run_dir.h"
#include "tiny_resnet.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

TrainOptions Tiny() {
  TrainOptions o;
  o.model.hidden = 16;
  o.model.heads = 2;
  o.data.characters = 20000;
  o.data.block = 24;
  o.opt.lr = 3e-3;
  o.opt.ema = 0.9;
  o.sched.steps = 8;
  o.run.batch = 2;
  o.run.eval_every = 4;
  o.run.eval_batches = 4;
  return o;
}

run::RunDir Open(const std::filesystem::path& path, bool resume = false) {
  return run::RunDir(path, {.program = "test", .command = "train"},
                     run::WhenExisting(false, resume));
}

// Trains into `path` with simulated ranks; what rank 0 found.
TrainResult TrainInto(const std::filesystem::path& path, const TrainOptions& options,
                      bool resume = false) {
  TrainResult result;
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& communicator) {
    const TrainSetting setting{.seed = 5, .progress = false};
    if (communicator.rank() > 0) {
      Train(options, setting, communicator, nullptr);
      return;
    }
    run::RunDir run = Open(path, resume);
    run.Record([&] {
      result = Train(options, setting, communicator, &run);
      return ToJson(result);
    });
  });
  return result;
}

std::string Weights(const std::filesystem::path& run) {
  return ReadText(run / "final" / "model.safetensors");
}

// metrics.jsonl without what a clock or the machine decides.
std::vector<nlohmann::json> Metrics(const std::filesystem::path& run) {
  std::vector<nlohmann::json> all;
  io::JsonLinesReader lines(run / "metrics.jsonl");
  for (nlohmann::json line; lines.Next(line);) {
    line.erase("tokens_per_second");
    line.erase("peak_memory_bytes");
    all.push_back(line);
  }
  return all;
}

TEST(Train, LowersTheLoss) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  options.sched.steps = 60;
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_NEAR(*result.first_valid_loss, std::log(259.0), 0.1);  // knows nothing yet
  EXPECT_LT(*result.valid_loss, *result.first_valid_loss - 1);
}

TEST(Train, ResumesToTheSameBits) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  options.model.dropout = 0.1;
  TrainInto(scratch / "plain", options);

  options.run.ranks = 1;
  RequestStop(15);
  EXPECT_THROW(TrainInto(scratch / "stopped", options), InterruptedError);
  ClearStopRequest();
  EXPECT_EQ(Metrics(scratch / "stopped").back()["step"], 1);
  TrainInto(scratch / "stopped", options, true);

  EXPECT_EQ(Weights(scratch / "plain"), Weights(scratch / "stopped"));
  EXPECT_EQ(ReadText(scratch / "plain/final-ema/model.safetensors"),
            ReadText(scratch / "stopped/final-ema/model.safetensors"));
  EXPECT_EQ(Metrics(scratch / "plain"), Metrics(scratch / "stopped"));
}

TEST(Train, RanksEqualMicroBatches) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  options.model.dropout = 0.1;
  options.data.kind = DataKind::kMlm;  // the ranks predict different numbers of tokens
  options.model.type = "bert_preln";
  options.run.accum = 3;
  TrainInto(scratch / "accumulated", options);
  options.run.accum = 1;
  options.run.ranks = 3;
  TrainInto(scratch / "ranks", options);
  EXPECT_EQ(Weights(scratch / "accumulated"), Weights(scratch / "ranks"));
}

TEST(Train, OneLargeBatchIsManySmallOnes) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  options.run.precision = Precision::kF64;
  options.model.dropout = 0;  // its masks are drawn for each pass
  options.run.batch = 6;
  const TrainResult large = TrainInto(scratch / "large", options);
  options.run.batch = 2;
  options.run.ranks = 3;
  const TrainResult small = TrainInto(scratch / "small", options);
  EXPECT_NEAR(large.loss, small.loss, 1e-9);
  // Their validation losses are not compared: whole batches are validated, and the two cut the set
  // at other places.
}

// Trains a source in f64 and grows it to 24 wide and 3 deep; what training the source found.
TrainResult Grow(const ScratchDir& scratch, TrainOptions options) {
  options.run.precision = Precision::kF64;
  options.opt.ema = 0;
  const TrainResult result = TrainInto(scratch / "source", options);
  const SourceModel source = OpenModel(scratch / "source/final", {});
  const TargetOptions target{.hidden = 24, .layers = 3};
  const MethodOptions method;
  ExpandModel(source, MakePlan(source, target, method), method, scratch / "grown", {});
  return result;
}

TEST(Train, AnExpandedModelStartsAtItsSourcesLoss) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  const TrainResult source = Grow(scratch, options);
  options.run.precision = Precision::kF64;
  options.model.path = scratch / "grown";
  options.sched.steps = 1;
  const TrainResult grown = TrainInto(scratch / "trained", options);
  EXPECT_NEAR(*grown.first_valid_loss, *source.valid_loss, 1e-9);
}

TEST(Train, LeavesOldLayersAloneWhenAskedTo) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  Grow(scratch, options);
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

TEST(Train, SaysWhenItDiverges) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
  options.opt.lr = 1e30;
  EXPECT_THROW(TrainInto(scratch / "run", options), DivergedError);
}

TEST(Train, ClassifiesImages) {
  const ScratchDir scratch;
  TrainOptions options = Tiny();
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
  TrainOptions o = Tiny();
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
  RequestStop(15);
  EXPECT_THROW(TrainInto(scratch / "stopped", options), InterruptedError);
  ClearStopRequest();
  TrainInto(scratch / "stopped", options, true);
  EXPECT_EQ(Weights(scratch / "plain"), Weights(scratch / "stopped"));
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
  EXPECT_EQ(Weights(scratch / "accumulated"), Weights(scratch / "ranks"));
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
  RequestStop(15);
  EXPECT_THROW(TrainInto(scratch / "stopped", options), InterruptedError);
  ClearStopRequest();
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
