// Sets of trainings: what is kept, what is found again, and in which order they run.
#include "expand/run_set.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/signals.h"
#include "expand/flops.h"
#include "run/summary.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

RunRequest Tiny(const std::string& name, int64_t steps = 4) {
  RunRequest request{.name = name, .seed = 5};
  TrainOptions& o = request.options;
  o.model.hidden = 16;
  o.model.heads = 2;
  o.data.characters = 20000;
  o.data.block = 24;
  o.sched.steps = steps;
  o.run.batch = 2;
  o.run.eval_every = 2;
  o.run.eval_batches = 2;
  return request;
}

TEST(Curve, CrossesBetweenTwoPoints) {
  const Curve curve{{0, 10, 20}, {4, 2, 1}};
  EXPECT_DOUBLE_EQ(*curve.Crossing(3), 5);
  EXPECT_DOUBLE_EQ(*curve.Crossing(1), 20);
  EXPECT_DOUBLE_EQ(*curve.Crossing(5), 0);
  EXPECT_FALSE(curve.Crossing(0.5).has_value());
  const Curve lost{{0, 1}, {4, std::numeric_limits<double>::quiet_NaN()}};
  EXPECT_FALSE(lost.Crossing(1).has_value());
}

TEST(TrainAll, FindsTheSameCurvesOnOneThreadAndOnMany) {
  const ScratchDir scratch;
  std::vector<RunRequest> requests = {Tiny("a"), Tiny("b", 6), Tiny("c", 2)};
  const auto one = TrainAll(requests, {.directory = scratch / "one"});
  const auto many = TrainAll(requests, {.directory = scratch / "many", .threads = 3});
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(one[i].valid_loss.values, many[i].valid_loss.values);
    EXPECT_EQ(one[i].loss.steps.size(), static_cast<size_t>(requests[i].options.sched.steps));
    EXPECT_EQ(one[i].valid_loss.steps.front(), 0);
  }
}

TEST(TrainAll, DoesNotRepeatWhatIsFinished) {
  const ScratchDir scratch;
  int prepared = 0;
  RunRequest request = Tiny("a");
  request.prepare = [&] { ++prepared; };
  const auto first = TrainAll({request}, {.directory = scratch.path()});
  const auto second = TrainAll({request}, {.directory = scratch.path()});
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(run::ReadSummary(scratch / "a/summary.json").attempts, 1);
  EXPECT_EQ(first[0].valid_loss.values, second[0].valid_loss.values);

  request.options.opt.lr *= 2;
  EXPECT_THROW(TrainAll({request}, {.directory = scratch.path()}), UsageError);
}

TEST(TrainAll, WaitsForWhatARunStartsFrom) {
  const ScratchDir scratch;
  RunRequest second = Tiny("second");
  second.after = "first";
  second.options.model.path = scratch / "first/final";
  bool there = false;
  second.prepare = [&] { there = std::filesystem::exists(scratch / "first/final/config.json"); };
  const auto outcomes =
      TrainAll({second, Tiny("first")}, {.directory = scratch.path(), .threads = 2});
  EXPECT_TRUE(there);
  EXPECT_DOUBLE_EQ(outcomes[0].valid_loss.values.front(), outcomes[1].valid_loss.last());
}

TEST(TrainAll, TakesDivergenceForAnOutcome) {
  const ScratchDir scratch;
  RunRequest wild = Tiny("wild");
  wild.options.opt.lr = 1e30;
  for (int attempt = 0; attempt < 2; ++attempt) {  // read back the second time
    const auto outcomes = TrainAll({wild, Tiny("tame")}, {.directory = scratch.path()});
    EXPECT_TRUE(outcomes[0].diverged);
    EXPECT_FALSE(outcomes[1].diverged);
  }
}

TEST(TrainAll, StopsOnRequestAndContinues) {
  const ScratchDir scratch;
  const auto undisturbed = TrainAll({Tiny("a")}, {.directory = scratch / "plain"});
  RequestStop(15);
  EXPECT_THROW(TrainAll({Tiny("a"), Tiny("b")}, {.directory = scratch / "stopped"}),
               InterruptedError);
  ClearStopRequest();
  const auto resumed = TrainAll({Tiny("a"), Tiny("b")}, {.directory = scratch / "stopped"});
  EXPECT_EQ(resumed[0].valid_loss.values, undisturbed[0].valid_loss.values);
}

TEST(TrainAll, PassesErrorsOn) {
  const ScratchDir scratch;
  RunRequest broken = Tiny("broken");
  broken.prepare = [] { throw DataError("broken"); };
  EXPECT_THROW(TrainAll({broken, Tiny("b")}, {.directory = scratch.path(), .threads = 2}),
               DataError);
}

TEST(TrainingFlops, AreSixForEachWeightAndTwelveForAttention) {
  // Two layers 8 wide, 10 hidden units: per layer 4 matrices of 8 x 8 with biases, two norms, and
  // an MLP; a norm at the end. Table, positions and head are left out.
  const ScratchDir scratch;
  WriteTinyModel(scratch / "model", TinyGpt2(), io::DType::kF32);
  const double layer = 4 * (64 + 8) + 2 * 16 + (80 + 10) + (80 + 8);
  EXPECT_DOUBLE_EQ(TrainingFlopsPerToken(OpenModel(scratch / "model", {}), 32),
                   6 * (2 * layer + 16) + 12.0 * 2 * 8 * 32);
}

}  // namespace
}  // namespace orchard::expand
