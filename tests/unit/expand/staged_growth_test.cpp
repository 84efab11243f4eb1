// Growth in the middle of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "expand/flops.h"
#include "expand/growth_stage.h"
#include "io/safetensors.h"
#include "nn/model_directory.h"
#include "unit/expand/tiny_training.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

// 16 wide, then 24 wide and 3 deep, then 32 wide.
TrainOptions Staged() {
  TrainOptions o = TinyTraining();
  o.model.dropout = 0.1;
  o.expand.staged = {"at_step=3 hidden=24 layers=3", "at_step=6 hidden=32 optim=asym"};
  o.sched.steps = 9;
  return o;
}

TEST(StagedGrowth, KeepsTheLoss) {
  const ScratchDir scratch;
  TrainOptions options = Staged();
  options.run.precision = Precision::kF64;
  const TrainResult result = TrainInto(scratch / "run", options);
  ASSERT_EQ(result.stages.size(), 3u);
  for (const TrainStage& stage : result.stages) {
    EXPECT_EQ(stage.steps, 3);
    if (stage.first_step > 0) {
      EXPECT_NEAR(*stage.loss_after, *stage.loss_before, 1e-9);
    }
  }
  EXPECT_LT(*result.valid_loss, *result.stages[2].loss_after);
  EXPECT_EQ(nn::ModelDirectory::Open(scratch / "run/final").config().hidden, 32);
}

// What a run does at its growth is what `expand` does with the checkpoint of that step.
TEST(StagedGrowth, IsAnExpansionOfTheModelAndItsOptimizer) {
  const ScratchDir scratch;
  TrainOptions options = Staged();
  options.expand.staged.resize(1);
  options.sched.steps = 4;
  options.run.save_every = 3;
  TrainInto(scratch / "run", options);
  const fs::path checkpoint = scratch / "run/checkpoints/step-0000003";
  const GrowthStage stage = ParseStages(options.expand.staged, 4)[0];
  GrowInRun(stage, checkpoint, scratch / "grown", 5 + 1, 1);
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "config.json"}) {
    EXPECT_EQ(ReadText(scratch / "grown" / file), ReadText(scratch / "run/stages/1" / file))
        << file;
  }
  const io::Checkpoint state = io::Checkpoint::Open(scratch / "run/stages/1/optimizer.safetensors");
  EXPECT_NE(state.Find("exp_avg.transformer.h.0.mlp.c_fc.weight"), nullptr);
  // The third layer is new and starts its own bias correction.
  EXPECT_EQ(state.Find("exp_avg.transformer.h.2.mlp.c_fc.weight"), nullptr);
}

TEST(StagedGrowth, ResumesToTheSameBitsBeforeAndAfterIt) {
  const ScratchDir scratch;
  TrainOptions options = Staged();
  options.expand.staged = {"at_step=1 hidden=24", "at_step=2 hidden=32 layers=3"};
  options.sched.steps = 4;
  options.run.eval_every = 1;
  options.run.ranks = 1;
  TrainInto(scratch / "plain", options);
  TrainOneStepInto(scratch / "stopped", options);        // with the first growth ahead
  TrainOneStepInto(scratch / "stopped", options, true);  // behind it, the second ahead
  TrainOneStepInto(scratch / "stopped", options, true);  // behind both
  const TrainResult result = TrainInto(scratch / "stopped", options, true);
  EXPECT_EQ(result.stages.size(), 3u);
  EXPECT_EQ(FinalWeights(scratch / "plain"), FinalWeights(scratch / "stopped"));
  EXPECT_EQ(ReadText(scratch / "plain/final-ema/model.safetensors"),
            ReadText(scratch / "stopped/final-ema/model.safetensors"));
  EXPECT_EQ(Metrics(scratch / "plain"), Metrics(scratch / "stopped"));
}

TEST(StagedGrowth, RanksEqualMicroBatches) {
  const ScratchDir scratch;
  TrainOptions options = Staged();
  options.run.accum = 2;
  TrainInto(scratch / "accumulated", options);
  options.run.accum = 1;
  options.run.ranks = 2;
  TrainInto(scratch / "ranks", options);
  EXPECT_EQ(FinalWeights(scratch / "accumulated"), FinalWeights(scratch / "ranks"));
}

TEST(StagedGrowth, WarmsUpAgain) {
  const ScratchDir scratch;
  TrainOptions options = Staged();
  options.sched.schedule.kind = nn::ScheduleKind::kWsd;
  options.sched.schedule.decay = 0;
  options.sched.schedule.rewarm = 2;
  TrainInto(scratch / "run", options);
  std::vector<double> rates;
  for (const nlohmann::json& line : Metrics(scratch / "run")) {
    if (line.contains("lr")) rates.push_back(line["lr"].get<double>() / options.opt.lr);
  }
  EXPECT_THAT(rates, ::testing::ElementsAre(1, 1, 1, 0, 0.5, 1, 0, 0.5, 1));
}

// 6 N + 12 L D T by hand for the first model: its matrices, norms and biases without the tables.
TEST(StagedGrowth, CountsTheWorkOfEveryModel) {
  const ScratchDir scratch;
  const TrainResult result = TrainInto(scratch / "run", Staged());
  const double layer = 16 * 48 + 48 + 16 * 16 + 16 + 16 * 64 + 64 + 64 * 16 + 16 + 4 * 16;
  const double per_token = 6 * (2 * layer + 2 * 16) + 12.0 * 2 * 16 * 24;
  EXPECT_EQ(result.stages[0].tokens, 3 * 2 * 24);
  EXPECT_EQ(result.stages[0].flops, 3 * 2 * 24 * per_token);
  // The last one by the other implementation of the formula, on the stored model.
  EXPECT_EQ(result.stages[2].flops,
            3 * 2 * 24 * TrainingFlopsPerToken(OpenModel(scratch / "run/final", {}), 24));
  double sum = 0;
  for (const TrainStage& stage : result.stages) sum += stage.flops;
  EXPECT_EQ(result.flops, sum);
  EXPECT_EQ(Metrics(scratch / "run").back()["flops"], sum);
}

TEST(StagedGrowth, IsRefusedBeforeTrainingWhereItCannotWork) {
  const auto check = [](std::vector<std::string> staged, const char* what) {
    const ScratchDir scratch;
    TrainOptions options = Staged();
    options.expand.staged = std::move(staged);
    try {
      TrainInto(scratch / "run", options);
      ADD_FAILURE() << what;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), ::testing::HasSubstr(what));
      EXPECT_FALSE(fs::exists(scratch / "run/metrics.jsonl"));
    }
  };
  check({"hidden=24"}, "at_step");
  check({"at_step=3 hiden=24"}, "no key 'hiden'");
  check({"at_step=3 hidden=wide"}, "'wide' is not a value of hidden");
  check({"at_step=3 hidden=24", "at_step=2 hidden=32"}, "order");
  check({"at_step=9 hidden=24"}, "nothing would be trained");
  check({"at_step=3 hidden=8"}, "smaller");
  check({"at_step=3 hidden=25"}, "not a multiple");
  check({"at_step=3 hidden=24 optim=half"}, "optim is one of: reset, map, asym");
}

}  // namespace
}  // namespace orchard::expand
