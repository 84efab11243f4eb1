// Training steps: what they consist of, what pipelines take and hold, by closed forms and for
// random graphs.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "base/error.h"
#include "place/microbatches.h"
#include "place/pipeline_order.h"
#include "place/pipeline_split.h"
#include "place/pipelined_members.h"
#include "place/place_training.h"
#include "place/placement.h"
#include "place/recompute.h"
#include "unit/place/check_schedule.h"
#include "unit/place/golden_graphs.h"
#include "unit/place/random_graph.h"
#include "unit/scratch_dir.h"

namespace orchard::place {
namespace {

constexpr MemoryOptions kExact{.mode = Mode::kTrain, .rounding = 1};

// A chain of `n` operators that take `f` and `b` microseconds.
Graph Chain(int n, double f, double b, int64_t bytes = 100, int64_t perm = 0) {
  GraphBuilder builder("chain");
  for (int i = 0; i < n; ++i) {
    builder.AddOp(
        {.name = fmt::format("s{}", i), .us = f, .bwd_us = b, .perm = perm, .out = {bytes}}, "");
    if (i > 0)
      builder.AddUse(i - 1, i, fmt::format("s{}:0", i - 1), static_cast<double>(bytes), -1, "");
  }
  return builder.Build();
}

Cluster Free(int devices) { return Cluster(devices, INT64_MAX, {0, 0}, Comm::kParallel); }

Problem Of(const Graph& step, const Cluster& cluster, MemoryOptions memory = kExact) {
  return Problem(step, cluster, memory, GroupOperators(step, Grouping::kTf));
}

// Ranks in topological order.
std::vector<int32_t> Ranks(const Problem& problem) {
  const StepOrigin& step = *problem.graph.step;
  std::vector<int32_t> rank(size_t{kStepKinds} * step.forward.size(), 0);
  for (int32_t s = 0; s < problem.ops.size(); ++s) {
    if (step.ops[s].microbatch == 0)
      rank[static_cast<size_t>(step.ops[s].kind) * step.forward.size() + step.ops[s].forward] =
          problem.ops.topo[s];
  }
  return rank;
}

Evaluated RunPipeline(const Problem& problem, const std::vector<int32_t>& of_forward,
                      Pipeline pipeline) {
  const std::vector<int32_t> device = LiftToStep(*problem.graph.step, of_forward);
  const auto heights = PipelineHeights(problem.graph, device, problem.cluster.size());
  if (!heights) pipeline = Pipeline::kGpipe;
  return EvaluateOrder(problem, device,
                       PipelineOrder(problem.graph, device, pipeline,
                                     heights.value_or(std::vector<int32_t>()), Ranks(problem)));
}

// The most micro-batches of forward operator `i` that have begun and not ended their backward pass.
int InFlight(const Problem& problem, const Schedule& schedule, int32_t i) {
  std::vector<std::pair<Time, int>> events;
  for (int32_t s = 0; s < problem.ops.size(); ++s) {
    const StepOp& op = problem.graph.step->ops[s];
    if (op.forward != i) continue;
    if (op.kind == StepKind::kForward) events.emplace_back(schedule.start[s], 1);
    if (op.kind == StepKind::kBackward) events.emplace_back(schedule.end[s], -1);
  }
  std::sort(events.begin(), events.end());
  int now = 0, most = 0;
  for (const auto& [time, change] : events) most = std::max(most, now += change);
  return most;
}

std::vector<int32_t> Stages(int n) {
  std::vector<int32_t> device(n);
  for (int i = 0; i < n; ++i) device[i] = i;
  return device;
}

// n equal stages and k micro-batches without communication take (k + n - 1) (f + b) / k.
RC_GTEST_PROP(Pipelines, OfEqualStagesTakeTheirClosedForm, ()) {
  const int n = *rc::gen::inRange(1, 7), k = *rc::gen::inRange(1, 10);
  const int f = *rc::gen::inRange(1, 50), b = *rc::gen::inRange(1, 50);
  const Graph step = BuildTrainingStep(Chain(n, f * k, b * k), {.microbatches = k, .launch_us = 0});
  const Problem problem = Of(step, Free(n));
  for (const Pipeline pipeline : {Pipeline::kGpipe, Pipeline::k1F1B}) {
    const Schedule schedule = RunPipeline(problem, Stages(n), pipeline).schedule;
    RC_ASSERT(schedule.makespan == FromMicroseconds((k + n - 1.0) * (f + b)));
    for (int stage = 0; stage < n; ++stage) {
      const int expected = pipeline == Pipeline::kGpipe ? k : std::min(k, n - stage);
      RC_ASSERT(InFlight(problem, schedule, stage) == expected);
    }
  }
}

TEST(Pipelines, HoldLessWithOneForwardOneBackward) {
  const Graph step = BuildTrainingStep(Chain(4, 80, 80, 800), {.microbatches = 8, .launch_us = 0});
  const Problem problem = Of(step, Free(4));
  // Stage 0 keeps its outputs, 100 bytes each, of all 8 or of 4 micro-batches, and gets a gradient.
  EXPECT_EQ(RunPipeline(problem, Stages(4), Pipeline::kGpipe).memory.peak[0], 900);
  EXPECT_EQ(RunPipeline(problem, Stages(4), Pipeline::k1F1B).memory.peak[0], 500);
}

TEST(Pipelines, FallBackToGpipeWhereDevicesSendBothWays) {
  const Graph step = BuildTrainingStep(Chain(3, 1, 1), {.microbatches = 2});
  const std::vector<int32_t> there_and_back = LiftToStep(*step.step, {0, 1, 0});
  EXPECT_FALSE(PipelineHeights(step, there_and_back, 2));
  EXPECT_EQ(PipelineHeights(step, LiftToStep(*step.step, {1, 1, 0}), 2),
            (std::vector<int32_t>{0, 1}));
  PlaceOptions options{.pin = {"s0=0", "s1=1", "s2=0"}};
  options.training.microbatches = "2";
  options.training.schedule = Pipeline::k1F1B;
  const TrainingPlan plan = PlaceTraining(Chain(3, 1, 1), Free(2), options);
  EXPECT_TRUE(plan.cyclic);
  EXPECT_EQ(plan.result.best.pipeline, "gpipe");
}

TEST(TrainingStep, TakesForwardBackwardAndUpdateOnOneDevice) {
  // Adam reads parameters, gradient and both states, and writes all but the gradient: 7 x 1000 B.
  const Graph step = BuildTrainingStep(Chain(3, 10, 20, 100, 1000), {.bandwidth_gb_per_s = 1});
  const Evaluated result = Evaluate(Of(step, Free(1)), std::vector<int32_t>(step.size(), 0));
  EXPECT_EQ(result.schedule.makespan, FromMicroseconds(3 * (10 + 20 + 7)));
  const auto& order = result.schedule.order[0];
  for (size_t at = order.size() - 3; at < order.size(); ++at)
    EXPECT_EQ(step.step->ops[order[at]].kind, StepKind::kUpdate);
}

TEST(TrainingStep, KeepsActivationsGradientsAndStatesAsLongAsTheyAreNeeded) {
  const Graph step = BuildTrainingStep(Chain(2, 10, 20, 100, 1000), {});
  const std::vector<int32_t> one(step.size(), 0);
  // Parameters and two states of both: 6000. Forward: 200 of outputs. The backward pass of s1 adds
  // the gradients of its parameters and of its input: 1100. That of s0 adds its parameters' only,
  // s1's output is gone, its gradient ends with it: the most is 6000 + 1000 + 100 (output) + 100
  // (gradient) + 1000.
  EXPECT_EQ(Evaluate(Of(step, Free(1)), one).memory.peak[0], 8200);
  const MemoryOptions sgd{.mode = Mode::kTrain, .optimizer = Optimizer::kSgd, .rounding = 1};
  const Graph plain =
      BuildTrainingStep(Chain(2, 10, 20, 100, 1000), {.optimizer = Optimizer::kSgd});
  EXPECT_EQ(Evaluate(Of(plain, Free(1), sgd), one).memory.peak[0], 4200);
}

// a is read by `readers` operators and a loss reads those: each makes a gradient of a's output.
Graph Fan(int readers) {
  GraphBuilder builder("fan");
  builder.AddOp({.name = "a", .us = 1, .bwd_us = 1, .out = {1000}, .saved = {0}}, "");
  for (int r = 0; r < readers; ++r)
    builder.AddOp({.name = fmt::format("r{}", r), .us = 1, .bwd_us = 1, .out = {1}, .saved = {0}},
                  "");
  builder.AddOp({.name = "loss", .us = 1, .bwd_us = 1}, "");
  for (int r = 1; r <= readers; ++r) {
    builder.AddUse(0, r, "a:0", 1000, -1, "");
    builder.AddUse(r, readers + 1, fmt::format("r{}:0", r - 1), 1, -1, "");
  }
  return builder.Build();
}

TEST(TrainingStep, AddsGradientsUpInPlace) {
  const Graph step = BuildTrainingStep(Fan(5), {});
  const Problem problem = Of(step, Free(2));
  // The sum, the gradient that is being made, and the five small gradients of the readers' outputs
  // that the loss made, of which four still wait at the second sum.
  const std::vector<int32_t> one(step.size(), 0);
  EXPECT_EQ(Evaluate(problem, one).memory.peak[0], 2000 + 4);
  // Sent from another device, they arrive at once here and each takes room until it has arrived;
  // there every one waits until it is sent.
  const std::vector<int32_t> two = LiftToStep(*step.step, {0, 1, 1, 1, 1, 1, 1});
  const Cluster slow(2, INT64_MAX, {0, 100}, Comm::kParallel);
  EXPECT_EQ(Evaluate(Of(step, slow), two).memory.peak[0], 5000);
  const Cluster fast(2, INT64_MAX, {0, 0.5}, Comm::kParallel);
  EXPECT_EQ(Evaluate(Of(step, fast), two).memory.peak[0], 2000);
}

TEST(TrainingStep, HasNoBackwardPassWithoutParametersBefore) {
  GraphBuilder builder("data");
  builder.AddOp({.name = "data", .us = 1, .out = {10}}, "");
  builder.AddOp({.name = "augment", .us = 1, .out = {10}}, "");
  builder.AddOp({.name = "conv", .type = "Conv2D", .us = 1, .perm = 4, .out = {10}}, "");
  builder.AddOp({.name = "relu", .type = "Relu", .us = 1, .out = {10}}, "");
  for (int i = 1; i < 4; ++i)
    builder.AddUse(i - 1, i, builder.graph.ops[i - 1].name + ":0", 10, -1, "");
  const Graph step = BuildTrainingStep(builder.Build(), {.optimizer = Optimizer::kSgd});
  std::vector<std::string> names;
  std::vector<double> us;
  for (const Op& op : step.ops) {
    names.push_back(op.name);
    us.push_back(op.us);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"data", "augment", "conv", "relu", "conv backward",
                                             "relu backward", "conv update"}));
  EXPECT_EQ(us[4], 2);  // dense
  EXPECT_EQ(us[5], 1);
  EXPECT_EQ(step.ops[4].out, (std::vector<int64_t>{4}));   // of the parameters: data need none
  EXPECT_EQ(step.ops[5].out, (std::vector<int64_t>{10}));  // of conv's output
}

TEST(TrainingStep, SharesTheBatchButNotTheParametersAmongMicrobatches) {
  GraphBuilder builder("variable");
  builder.AddOp({.name = "w", .us = 2, .perm = 1000, .out = {1000}}, "");
  builder.AddOp({.name = "cast", .us = 9, .out = {500}}, "");
  builder.AddOp({.name = "x", .us = 1, .out = {90}}, "");
  builder.AddOp({.name = "mul", .us = 65, .bwd_us = 105, .out = {91}}, "");
  builder.AddUse(0, 1, "w:0", 1000, -1, "");
  builder.AddUse(1, 3, "cast:0", 500, -1, "");
  builder.AddUse(2, 3, "x:0", 90, 30, "");
  const Graph step = BuildTrainingStep(builder.Build(), {.microbatches = 3, .launch_us = 5});
  std::map<std::string, const Op*> op;
  for (const Op& o : step.ops) op[o.name] = &o;
  EXPECT_TRUE(op.contains("w") && op.contains("cast") && op.contains("x #3"));
  EXPECT_FALSE(op.contains("w #2") || op.contains("cast #2") || op.contains("cast #2 backward"));
  EXPECT_EQ(op.at("mul")->us, 5 + 60 / 3.0);
  EXPECT_EQ(op.at("mul #3 backward")->us, 5 + 100 / 3.0);
  EXPECT_EQ(op.at("x #2")->us, 1);
  EXPECT_EQ(op.at("mul #2")->out, (std::vector<int64_t>{31}));
  EXPECT_EQ(op.at("mul #2 backward")->out, (std::vector<int64_t>{500}));
  EXPECT_EQ(op.at("cast backward")->out, (std::vector<int64_t>{1000}));
  EXPECT_TRUE(op.at("w backward")->out.empty());  // the gradient of its output is its own
}

TEST(Recomputation, DropsWhatOnlyItsSegmentReadsAndRunsItAgain) {
  const Graph chain = Chain(8, 10, 20, 100);
  const auto run = [&](std::vector<std::vector<int32_t>> segments) {
    const Graph step = BuildTrainingStep(chain, {.recompute = std::move(segments)});
    return Evaluate(Of(step, Free(1)), std::vector<int32_t>(step.size(), 0));
  };
  // s0 to s7 hold 100 each until their backward passes, that of s7 adds a gradient.
  EXPECT_EQ(run({}).memory.peak[0], 900);
  EXPECT_EQ(run({}).schedule.makespan, FromMicroseconds(240));
  // s0 to s2 are dropped, so s3 to s7 and the gradient are there; later s0 to s3 and two gradients.
  EXPECT_EQ(run({{0, 1, 2, 3}}).schedule.makespan, FromMicroseconds(270));
  EXPECT_EQ(run({{0, 1, 2, 3}}).memory.peak[0], 600);
  // What s1 makes is read outside of {s0, s1}, so only s0 runs again.
  EXPECT_EQ(run({{0, 1}}).schedule.makespan, FromMicroseconds(250));
  EXPECT_EQ(run({{0, 1}}).memory.peak[0], 800);
  // Nothing would start a segment at the end again.
  EXPECT_EQ(run({{6, 7}}).schedule.makespan, FromMicroseconds(240));
}

TEST(Recomputation, IsUsedOnlyWhereMemoryBinds) {
  PlaceOptions options{.allocator_rounding = 1};
  const auto place = [&](int64_t memory, Recompute recompute) {
    options.training.recompute = recompute;
    return PlaceTraining(Chain(8, 10, 20, 100), Cluster(1, memory, {}, Comm::kParallel), options)
        .result.best.result;
  };
  EXPECT_EQ(place(900, Recompute::kAuto).schedule.makespan, FromMicroseconds(240));
  EXPECT_THROW(place(899, Recompute::kOff), ImpossibleError);
  const Evaluated tight = place(800, Recompute::kAuto);
  EXPECT_EQ(tight.schedule.makespan, FromMicroseconds(250));  // one operator again
  EXPECT_LE(tight.memory.peak[0], 800);
}

// ---- random graphs ----

Cluster RandomLinks(int devices) {
  return Cluster(devices, INT64_MAX,
                 {*rc::gen::inRange(0, 10) / 20.0, *rc::gen::inRange(0, 5) * 1.0},
                 static_cast<Comm>(*rc::gen::inRange(0, 3)));
}

// Whatever runs again, every rule holds, and only work is added.
RC_GTEST_PROP(Recomputation, KeepsTheRules, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster = RandomLinks(*rc::gen::inRange(1, 3));
  const Graph plain = BuildTrainingStep(graph, {});
  const Problem single = Of(plain, cluster);
  std::vector<int32_t> device(graph.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  const std::vector<uint8_t> all(cluster.size(), 1);
  const RecomputeSegments segments = PricedSegments(single, device, all, *rc::gen::inRange(2, 8));
  const Graph step =
      BuildTrainingStep(graph, {.microbatches = *rc::gen::inRange(1, 4), .recompute = segments});
  const Problem problem = Of(step, cluster);
  RC_ASSERT(Violation(problem.ops, cluster,
                      Evaluate(problem, LiftToStep(*step.step, device)).schedule) == "");
  for (const Pipeline pipeline : {Pipeline::kGpipe, Pipeline::k1F1B}) {
    RC_ASSERT(Violation(problem.ops, cluster, RunPipeline(problem, device, pipeline).schedule) ==
              "");
  }
}

Graph RandomStep(int32_t microbatches) {
  const auto optimizer = static_cast<Optimizer>(*rc::gen::inRange(0, 4));
  return BuildTrainingStep(RandomGraph({.min_us = 1, .groups = false}),
                           {.microbatches = microbatches,
                            .optimizer = optimizer,
                            .launch_us = 1,
                            .bandwidth_gb_per_s = 0.02});
}

RC_GTEST_PROP(Pipelines, RunWhateverThePlacement, ()) {
  const Graph step = RandomStep(*rc::gen::inRange(1, 6));
  const Cluster cluster = RandomLinks(*rc::gen::inRange(1, 4));
  const Problem problem = Of(step, cluster);
  std::vector<int32_t> device(step.step->forward.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  for (const Pipeline pipeline : {Pipeline::kGpipe, Pipeline::k1F1B}) {
    const Evaluated result = RunPipeline(problem, device, pipeline);
    RC_ASSERT(Violation(problem.ops, cluster, result.schedule) == "");
    for (const auto& order : result.schedule.order) {
      // Updates stand last, and with GPipe backward passes behind forward ones.
      const auto phase = [&](int32_t s) {
        const StepKind kind = step.step->ops[s].kind;
        return kind == StepKind::kUpdate      ? 2
               : pipeline == Pipeline::kGpipe ? static_cast<int>(kind)
                                              : 0;
      };
      RC_ASSERT(std::is_sorted(order.begin(), order.end(),
                               [&](int32_t a, int32_t b) { return phase(a) < phase(b); }));
    }
  }
}

RC_GTEST_PROP(TrainingStep, KeepsOperatorsOfOneForwardOperatorTogether, ()) {
  const Graph step = BuildTrainingStep(RandomGraph(), {.microbatches = *rc::gen::inRange(1, 4)});
  for (const auto& [name, grouping] : kGroupingNames) {
    const Cluster cluster = Free(2);
    const auto group = GroupOperators(step, grouping, cluster, DefaultGroupCap(step, cluster));
    const auto forward = GroupOperators(step.step->forward, grouping, cluster,
                                        DefaultGroupCap(step.step->forward, cluster));
    for (int32_t s = 0; s < step.size(); ++s)
      RC_ASSERT(group[s] == forward[step.step->ops[s].forward]);
  }
}

RC_GTEST_PROP(PlaceTraining, IsNeverWorseWithMoreNumbersOfMicrobatchesToTry, ()) {
  const Graph graph = RandomGraph({.max_us = 200});
  const Cluster cluster = RandomLinks(*rc::gen::inRange(1, 4));
  PlaceOptions options{.refine_steps = 20};
  options.training.launch_us = 1;
  const auto place = [&](const std::string& count) {
    options.training.microbatches = count;
    return PlaceTraining(graph, cluster, options, {.threads = 2}).result;
  };
  const Time best = place("auto").best.result.schedule.makespan;
  RC_ASSERT(best <= place("1").best.result.schedule.makespan);
  // Of several, only the best number is annealed: the others count without.
  for (const char* count : {"2", "4", "32"})
    RC_ASSERT(best <= place(count).members.front().result.schedule.makespan);
}

TEST(PlaceTraining, BoundsTheStepThatIsChosen) {
  // Eight micro-batches on four devices beat what the whole batch needs at least.
  PlaceOptions options{.refine_steps = 20};
  options.training.microbatches = "8";
  options.training.launch_us = 0;
  const TrainingPlan plan = PlaceTraining(Chain(4, 800, 1600), Free(4), options);
  EXPECT_EQ(plan.result.best.result.schedule.makespan, FromMicroseconds(11 * 300));
  EXPECT_LE(plan.result.bound.value(), plan.result.best.result.schedule.makespan);
  EXPECT_GE(plan.result.bound.value(), FromMicroseconds(8 * 300));
}

TEST(TrainingStep, HoldsParametersThatAreOutputsOnce) {
  GraphBuilder builder("tied");
  builder.AddOp({.name = "w", .us = 0, .perm = 100, .perm_is_output = true, .out = {100}}, "");
  builder.AddOp({.name = "x", .us = 1, .out = {1}}, "");
  builder.AddUse(0, 1, "w:0", 100, -1, "");
  const Graph step = BuildTrainingStep(builder.Build(), {.optimizer = Optimizer::kSgd});
  const Problem problem =
      Of(step, Free(1), {.mode = Mode::kTrain, .optimizer = Optimizer::kSgd, .rounding = 1});
  // The parameters, their gradient, and what x makes.
  EXPECT_EQ(Evaluate(problem, std::vector<int32_t>(step.size(), 0)).memory.peak[0], 201);
}

// Annealing placements of several micro-batches keeps what was there before it.
RC_GTEST_PROP(PlaceTraining, IsNeverWorseThanBeforeItsRefinement, ()) {
  const Graph graph = RandomGraph({.max_us = 200});
  const Cluster cluster = RandomLinks(*rc::gen::inRange(2, 4));
  PlaceOptions options{.refine_steps = 60};
  options.training.launch_us = 1;
  options.training.microbatches = "3";
  options.training.schedule = *rc::gen::element(Pipeline::kAuto, Pipeline::kGpipe, Pipeline::k1F1B);
  const auto whole = MakeStep(graph, options, 1), step = MakeStep(graph, options, 3);
  const Problem single = StepProblem(*whole, cluster, options);
  const auto before = RunPipelined(StepProblem(*step, cluster, options),
                                   StepCandidates(single, Search(single, options).members, true),
                                   options.training.schedule, 1);
  const Member after = PlaceTraining(graph, cluster, options).result.best;
  RC_ASSERT(!Better(before.best[0], after));
  if (options.training.schedule != Pipeline::kAuto) RC_ASSERT(after.pipeline != "refined");
  for (const Member& member : before.best) RC_ASSERT(!Better(member, before.best[0]));
}

// Two chains of two operators and one more, badly balanced by hand.
TEST(PlaceTraining, RefinesPlacementsOfSeveralMicrobatches) {
  const Graph graph = golden::Make(
      {{"a", 40, 1, 0}, {"b", 40, 1, 0}, {"c", 24, 1, 0}, {"d", 56, 1, 0}, {"e", 40, 1, 0}},
      {{"a", "b", 8}, {"c", "d", 8}}, PersistentMemory::kSeparate);
  const Cluster two(2, INT64_MAX, {0.01, 0}, Comm::kParallel);
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 400};
  options.training.launch_us = 0;
  options.training.microbatches = "4";
  const auto step = MakeStep(graph, options, 4);
  const Problem problem = StepProblem(*step, two, options);
  const StepCandidate bad{.name = "by hand", .device = {0, 0, 0, 0, 1}};
  const Member start = RunPipelined(problem, {bad}, Pipeline::kAuto, 1).best[0];
  const std::optional<Member> refined = RefinePipelined(problem, {start}, options, {});
  ASSERT_TRUE(refined);
  EXPECT_LT(refined->result.schedule.makespan, start.result.schedule.makespan);
  EXPECT_EQ(refined->microbatches, 4);
  // 400 us of compute on two devices.
  EXPECT_GE(refined->result.schedule.makespan, FromMicroseconds(200));
}

// A table of methods with micro-batches: none is worse than with the whole batch.
RC_GTEST_PROP(CompareSteps, TakesTheBestNumberOfMicrobatches, ()) {
  const Graph graph = RandomGraph({.max_us = 200});
  const Cluster cluster = RandomLinks(2);
  PlaceOptions options;
  options.training.launch_us = 1;
  const Comparison whole = CompareSteps(graph, cluster, options);
  options.training.microbatches = "auto";
  const Comparison several = CompareSteps(graph, cluster, options);
  options.training.microbatches = "4";
  const Comparison four = CompareSteps(graph, cluster, options);
  RC_ASSERT(whole.members.size() == several.members.size());
  for (size_t k = 0; k < whole.members.size(); ++k) {
    RC_ASSERT(whole.members[k].algorithm == several.members[k].algorithm);
    RC_ASSERT(!Better(whole.members[k], several.members[k]));
    RC_ASSERT(!Better(four.members[k], several.members[k]));
    if (!whole.members[k].placed) continue;
    RC_ASSERT(several.bound.value() <= several.members[k].result.schedule.makespan);
    RC_ASSERT(four.members[k].microbatches == 4);
  }
}

RC_GTEST_PROP(PlaceTraining, KeepsLimitsOrSaysWhatWorks, ()) {
  const Graph graph = RandomGraph({.max_us = 200});
  Cluster cluster = RandomLinks(*rc::gen::inRange(1, 4));
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 20};
  options.training.microbatches = *rc::gen::element<std::string>("1", "2", "auto");
  options.training.recompute = *rc::gen::element(Recompute::kOff, Recompute::kAuto);
  const Graph step = BuildTrainingStep(graph, {});
  const int64_t all = MemorySizes(step, kExact).Everything();
  for (Device& device : cluster.devices) device.memory = all * *rc::gen::inRange(1, 10) / 10;
  try {
    const TrainingPlan plan = PlaceTraining(graph, cluster, options);
    for (int32_t d = 0; d < cluster.size(); ++d) {
      RC_ASSERT(plan.result.best.result.memory.peak[d] <= cluster.devices[d].memory);
    }
  } catch (const ImpossibleError& error) {
    const std::string text = error.what();
    std::smatch found;
    RC_ASSERT(std::regex_search(text, found, std::regex(R"(found to work .*\((\d+) bytes\))")));
    const int64_t limit = std::stoll(found[1]);
    for (Device& device : cluster.devices) device.memory = limit;
    PlaceTraining(graph, cluster, options);  // does not throw
  }
}

RC_GTEST_PROP(PlaceTraining, LeavesAFileThatRepeatsIt, ()) {
  const Graph graph = RandomGraph({.max_us = 200});
  const Cluster cluster = RandomLinks(*rc::gen::inRange(1, 4));
  PlaceOptions options{.refine_steps = 20};
  options.training.microbatches = *rc::gen::element<std::string>("1", "3", "auto");
  options.training.backward_ratio = 1.5;
  const TrainingPlan plan = PlaceTraining(graph, cluster, options);
  const testing::ScratchDir dir;
  const auto path = dir.path() / "placement.json";
  std::ofstream(path) << PlacementToJson(*plan.step, cluster, options, plan.result, 0);
  const Graph step = BuildTrainingStep(graph, ReadStepOptions(path, graph).value());
  const Problem problem = Of(step, cluster, StepMemory(options));
  const Evaluated again = ReplayPlacement(problem, ReadPlacement(path, step, cluster), path);
  RC_ASSERT(again.schedule.start == plan.result.best.result.schedule.start);
  RC_ASSERT(again.memory.peak == plan.result.best.result.memory.peak);
  // And the forward pass alone, as an executor needs it.
  const Placement forward = ReadPlacement(path, graph, cluster);
  RC_ASSERT(forward.device == LowerToForward(*step.step, again.schedule.device));
  RC_ASSERT(forward.order.size() == static_cast<size_t>(graph.size()));
}

}  // namespace
}  // namespace orchard::place
