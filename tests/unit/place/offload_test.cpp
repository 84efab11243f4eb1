// Parameters on the host: what fetches cost and hold, by closed forms, by the rules for random
// graphs, and against all choices on small ones.
#include "place/offload.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <random>
#include <regex>

#include "base/error.h"
#include "place/fetch_plan.h"
#include "place/limits.h"
#include "place/optimal.h"
#include "place/pipelined_members.h"
#include "place/place_training.h"
#include "place/placement.h"
#include "unit/place/random_graph.h"
#include "unit/scratch_dir.h"

namespace orchard::place {
namespace {

constexpr Time kUs = kMicrosecond;

// A chain of `n` operators of `us` microseconds with `perm` bytes of parameters and small outputs.
Graph Chain(int n, double us, int64_t perm, int64_t out = 1) {
  GraphBuilder builder("chain");
  for (int i = 0; i < n; ++i) {
    builder.AddOp({.name = fmt::format("s{}", i), .us = us, .perm = perm, .out = {out}}, "");
    if (i > 0)
      builder.AddUse(i - 1, i, fmt::format("s{}:0", i - 1), static_cast<double>(out), -1, "");
  }
  return builder.Build();
}

// Devices whose link to the host takes one microsecond per byte.
Cluster Hosted(int devices, int64_t memory, Comm comm = Comm::kParallel) {
  Cluster cluster(devices, memory, {0, 0}, comm);
  cluster.host_link = {1, 0};
  return cluster;
}

Problem Of(const Graph& graph, const Cluster& cluster) {
  const Mode mode = graph.step ? Mode::kTrain : Mode::kInfer;
  const MemoryOptions memory{
      .mode = mode,
      .optimizer = graph.step ? graph.step->options.optimizer : Optimizer::kNone,
      .rounding = 1};
  return Problem(graph, cluster, memory, GroupOperators(graph, Grouping::kTf));
}

Evaluated OnFirstDevice(const Problem& problem) {
  return Evaluate(problem, std::vector<int32_t>(problem.ops.size(), 0));
}

std::vector<int32_t> WithParameters(const Problem& problem) {
  std::vector<int32_t> ops;
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    if (problem.sizes.perm[i] > 0) ops.push_back(i);
  }
  return ops;
}

TEST(Offload, FetchesLateWhereThereIsNoRoom) {
  // Two operators of 50 bytes, 100 us each; room for one at a time.
  const Graph graph = Chain(2, 100, 50);
  const Problem problem = Of(graph, Hosted(1, 52));
  const Evaluated base = OnFirstDevice(problem);
  EXPECT_EQ(base.memory.peak[0], 102);
  FetchPlanner planner(problem, base);
  const Evaluated fitted = planner.Plan({0, 1});
  EXPECT_EQ(fitted.memory.peak[0], 52);
  EXPECT_EQ(fitted.schedule.makespan, (50 + 100 + 50 + 100) * kUs);
}

TEST(Offload, HidesFetchesBehindComputeWhereThereIsRoom) {
  const Graph graph = Chain(2, 100, 50);
  const Problem problem = Of(graph, Hosted(1, 102));
  const Evaluated base = OnFirstDevice(problem);
  FetchPlanner planner(problem, base);
  // The second comes while the first runs.
  EXPECT_EQ(planner.Plan({1}).schedule.makespan, 200 * kUs);
  EXPECT_EQ(planner.Plan({0, 1}).schedule.makespan, 250 * kUs);
  // Late fetches hide nothing.
  EXPECT_EQ(planner.Late({0, 1}).schedule.makespan, 300 * kUs);
}

TEST(Offload, SendsGradientsToTheHostWhichMakesTheUpdate) {
  GraphBuilder builder("one");
  builder.AddOp({.name = "a", .us = 10, .bwd_us = 20, .perm = 100, .out = {8}}, "");
  const Graph forward = builder.Build();
  // Adam moves 7 x 100 bytes: 7 us on the device, 28 us at a quarter of its bandwidth.
  const Graph step = BuildTrainingStep(forward, {.bandwidth_gb_per_s = 0.1});
  Cluster cluster = Hosted(1, 216);
  cluster.host_gb_per_s = 0.025;
  const Problem problem = Of(step, cluster);
  const Evaluated base = OnFirstDevice(problem);
  EXPECT_EQ(base.schedule.makespan, (10 + 20 + 7) * kUs);
  // Parameters and two states; the output, then the gradient as well.
  EXPECT_EQ(base.memory.peak[0], 300 + 100 + 8);
  FetchPlanner planner(problem, base);
  const Evaluated fitted = planner.Plan(WithParameters(problem));
  EXPECT_EQ(fitted.memory.peak[0], 100 + 100 + 8);
  EXPECT_EQ(fitted.schedule.makespan, (100 + 10 + 20 + 100 + 28) * kUs);  // they stay in between
  ASSERT_EQ(fitted.schedule.fetches[0].size(), 1U);
  ASSERT_EQ(fitted.schedule.write_backs.size(), 1U);
  EXPECT_EQ(fitted.schedule.write_backs[0].start, 130 * kUs);
  // Late, the backward pass fetches them again.
  EXPECT_EQ(planner.Late(WithParameters(problem)).schedule.makespan, 358 * kUs);
}

TEST(Offload, MakesOneUpdateAtATime) {
  // Two operators side by side on two devices: both gradients arrive at once.
  GraphBuilder builder("two");
  for (const char* name : {"a", "b"})
    builder.AddOp({.name = name, .us = 10, .bwd_us = 10, .perm = 100, .out = {1}}, "");
  const Graph step = BuildTrainingStep(builder.Build(), {.bandwidth_gb_per_s = 1});
  Cluster cluster = Hosted(2, 1000);
  cluster.host_gb_per_s = 0.1;
  const Problem problem = Of(step, cluster);
  const Evaluated base = Evaluate(problem, LiftToStep(*step.step, {0, 1}));
  FetchPlanner planner(problem, base);
  EXPECT_EQ(planner.Plan(WithParameters(problem)).schedule.makespan,
            (100 + 10 + 10 + 100 + 7 + 7) * kUs);
}

TEST(Offload, HoldsParametersThatAreOutputsUntilTheirLastReader) {
  GraphBuilder builder("tied");
  builder.AddOp({.name = "weight", .us = 0, .perm = 100, .perm_is_output = true, .out = {100}}, "");
  builder.AddOp({.name = "x", .us = 10, .out = {1}}, "");
  builder.AddOp({.name = "y", .us = 10, .out = {1}}, "");
  builder.AddUse(0, 2, "weight:0", 100, -1, "");
  builder.AddUse(1, 2, "x:0", 1, -1, "");
  const Graph graph = builder.Build();
  const Problem problem = Of(graph, Hosted(1, 1000));
  const Evaluated base = EvaluateOrder(problem, {0, 0, 0}, {1, 0, 2});
  EXPECT_EQ(base.memory.peak[0], 102);
  FetchPlanner planner(problem, base);
  const Evaluated late = planner.Late({0});
  EXPECT_EQ(late.schedule.makespan, (10 + 100 + 10) * kUs);
  EXPECT_EQ(late.memory.peak[0], 102);
  EXPECT_EQ(planner.Plan({0}).schedule.makespan, 110 * kUs);
}

TEST(Offload, IsUsedOnlyWhereMemoryBinds) {
  const Graph graph = Chain(3, 100, 50);
  PlaceOptions options{.allocator_rounding = 1};
  const auto place = [&](int64_t memory, Offload offload) {
    options.offload = offload;
    return Place(graph, Hosted(1, memory), options);
  };
  EXPECT_EQ(place(152, Offload::kAuto).best.result.schedule.host, nullptr);
  EXPECT_THROW(place(151, Offload::kOff), ImpossibleError);
  const PlaceResult tight = place(151, Offload::kAuto);
  ASSERT_NE(tight.best.result.schedule.host, nullptr);
  EXPECT_EQ(tight.best.with_memory, 300 * kUs);
  // One is on its way while another one runs.
  EXPECT_EQ(place(102, Offload::kAuto).best.result.schedule.makespan, 350 * kUs);
  EXPECT_THROW(place(51, Offload::kAuto), ImpossibleError);
}

TEST(Offload, IsRefusedWhereNobodyKnowsWhoReadsParametersAgain) {
  PlaceOptions options{.mode = Mode::kTrain, .offload = Offload::kAuto};
  EXPECT_THROW(Place(Chain(2, 1, 1), Hosted(1, 100), options), UsageError);
  options = {.compat = Compat::kTf, .offload = Offload::kAuto};
  EXPECT_THROW(Place(Chain(2, 1, 1), Hosted(1, 100), options), UsageError);
}

// ---- random graphs ----

Cluster RandomHosted(int64_t memory) {
  Cluster cluster(*rc::gen::inRange(1, 4), memory,
                  {*rc::gen::inRange(0, 10) / 20.0, *rc::gen::inRange(0, 5) * 1.0},
                  static_cast<Comm>(*rc::gen::inRange(0, 3)));
  cluster.host_link = {*rc::gen::inRange(0, 10) / 10.0, *rc::gen::inRange(0, 4) * 1.0};
  cluster.host_gb_per_s = 0.05;
  return cluster;
}

Graph RandomStep() {
  return BuildTrainingStep(RandomGraph({.min_us = 1, .groups = false}),
                           {.microbatches = *rc::gen::inRange(1, 4),
                            .optimizer = static_cast<Optimizer>(*rc::gen::inRange(0, 4)),
                            .launch_us = 1,
                            .bandwidth_gb_per_s = 0.02});
}

// The first rule of fetches that is broken.
std::string HostViolation(const Problem& problem, const Schedule& s) {
  const HostPlan& plan = *s.host;
  const std::string flaw = FlawOf(plan, problem.graph, s.device);
  if (!flaw.empty()) return flaw;
  for (size_t d = 0; d < plan.fetches.size(); ++d) {
    if (s.fetches[d].size() != plan.fetches[d].size()) return "a fetch is missing";
    for (size_t k = 0; k < plan.fetches[d].size(); ++k) {
      const Fetch& fetch = plan.fetches[d][k];
      const Span span = s.fetches[d][k];
      const int64_t bytes = problem.graph.ops[fetch.op].perm;
      if (span.end - span.start != problem.cluster.HostCost(bytes, static_cast<int32_t>(d)))
        return "a fetch takes another time";
      const Time free = k > 0 ? s.fetches[d][k - 1].end : 0;
      const Time after = fetch.after >= 0 ? s.end[fetch.after] : 0;
      if (span.start != std::max(free, after)) return "a fetch starts at another time";
      for (int32_t reader : fetch.readers) {
        if (s.start[reader] < span.end) return "an operator starts before its parameters are there";
      }
    }
  }
  std::vector<std::pair<Time, Time>> on_host;
  for (const WriteBack& gradient : s.write_backs) {
    for (int32_t e : problem.ops.InEdges(gradient.update)) {
      if (s.end[problem.ops.edges[e].src] > gradient.start) return "a gradient leaves too early";
    }
    if (s.start[gradient.update] < gradient.end) return "an update is made too early";
    on_host.emplace_back(s.start[gradient.update], s.end[gradient.update]);
  }
  std::sort(on_host.begin(), on_host.end());
  for (size_t k = 1; k < on_host.size(); ++k) {
    if (on_host[k].first < on_host[k - 1].second) return "the host does two things at once";
  }
  return "";
}

RC_GTEST_PROP(Offload, KeepsRulesAndLimits, ()) {
  Graph graph = *rc::gen::arbitrary<bool>() ? RandomStep() : RandomGraph({.groups = false});
  if (*rc::gen::arbitrary<bool>()) graph.persistent_memory = PersistentMemory::kInOutputs;
  Cluster cluster = RandomHosted(INT64_MAX);
  std::vector<int32_t> device(graph.step ? graph.step->forward.size() : graph.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  if (graph.step) device = LiftToStep(*graph.step, device);
  const Problem unlimited = Of(graph, cluster);
  const std::vector<int64_t> need = Evaluate(unlimited, device).memory.peak;
  const int percent = *rc::gen::inRange(20, 100);
  for (int32_t d = 0; d < cluster.size(); ++d) cluster.devices[d].memory = need[d] * percent / 100;
  const Problem problem = Of(graph, cluster);
  const Evaluated base = Evaluate(problem, device);
  const std::optional<Evaluated> fitted = OffloadToFit(problem, base);
  if (!fitted) return;
  RC_ASSERT(HostViolation(problem, fitted->schedule) == "");
  for (int32_t d = 0; d < cluster.size(); ++d)
    RC_ASSERT(fitted->memory.peak[d] <= cluster.devices[d].memory);
  RC_ASSERT(BoundWithHost(problem).value() <= fitted->schedule.makespan);
  // Waiting for parameters makes nothing faster where links cannot change their order.
  if (!graph.step && cluster.comm == Comm::kParallel)
    RC_ASSERT(fitted->schedule.makespan >= base.schedule.makespan);
}

RC_GTEST_PROP(Offload, LeavesAFileThatRepeatsIt, ()) {
  const Graph graph = RandomGraph({.max_us = 100, .groups = false});
  const Cluster cluster = RandomHosted(*rc::gen::inRange(60, 300));
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 20, .offload = Offload::kAuto};
  PlaceResult result;
  try {
    result = Place(graph, cluster, options);
  } catch (const ImpossibleError&) {
    return;
  }
  RC_ASSERT(result.bound.value() <= result.best.result.schedule.makespan);
  const testing::ScratchDir dir;
  const auto path = dir.path() / "placement.json";
  std::ofstream(path) << PlacementToJson(graph, cluster, options, result, 0);
  const Problem problem = Of(graph, cluster);
  const Placement read = ReadPlacement(path, graph, cluster);
  const Evaluated again = ReplayPlacement(problem, read, path);
  RC_ASSERT(again.schedule.start == result.best.result.schedule.start);
  RC_ASSERT(again.memory.peak == result.best.result.memory.peak);
  RC_ASSERT(read.offloaded ==
            (result.best.result.schedule.host ? result.best.result.schedule.host->size() : 0));
}

// The limit that an error names.
int64_t LimitThatIsSaidToWork(const ImpossibleError& error) {
  const std::string text = error.what();
  std::smatch found;
  RC_ASSERT(std::regex_search(text, found, std::regex(R"(found to work .*\((\d+) bytes\))")));
  return std::stoll(found[1]);
}

RC_GTEST_PROP(Offload, IsNeverWorseThanWithoutAndSaysWhatWorks, ()) {
  const Graph graph = RandomGraph({.max_us = 100});
  Cluster cluster = RandomHosted(*rc::gen::inRange(30, 300));
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 20};
  Time without = kNever;
  int64_t works = 0;
  try {
    without = Place(graph, cluster, options).best.result.schedule.makespan;
  } catch (const ImpossibleError& error) {
    works = LimitThatIsSaidToWork(error);
  }
  options.offload = Offload::kAuto;
  try {
    RC_ASSERT(Place(graph, cluster, options).best.result.schedule.makespan <= without);
  } catch (const ImpossibleError& error) {
    const int64_t limit = LimitThatIsSaidToWork(error);
    RC_ASSERT(limit <= works);
    for (Device& device : cluster.devices) device.memory = limit;
    Place(graph, cluster, options);  // does not throw
  }
}

RC_GTEST_PROP(Offload, KeepsLimitsOfTrainingStepsOrSaysWhatWorks, ()) {
  const Graph graph = RandomGraph({.max_ops = 8, .max_us = 200});
  Cluster cluster = RandomHosted(0);
  PlaceOptions options{.allocator_rounding = 1, .refine_steps = 20};
  options.training.microbatches = *rc::gen::element<std::string>("1", "2");
  options.training.recompute = *rc::gen::element(Recompute::kOff, Recompute::kAuto);
  const auto place = [&](Offload offload) {
    options.offload = offload;
    return PlaceTraining(graph, cluster, options);
  };
  const Graph step = BuildTrainingStep(graph, {});
  const int64_t all = Of(step, cluster).sizes.Everything();
  for (Device& device : cluster.devices) device.memory = all * *rc::gen::inRange(1, 10) / 10;
  Time without = kNever;
  int64_t works = 0;
  try {
    without = place(Offload::kOff).result.best.result.schedule.makespan;
  } catch (const ImpossibleError& error) {
    works = LimitThatIsSaidToWork(error);
  }
  try {
    const TrainingPlan plan = place(Offload::kAuto);
    const Evaluated& best = plan.result.best.result;
    RC_ASSERT(best.schedule.makespan <= without);
    RC_ASSERT(plan.result.bound.value() <= best.schedule.makespan);
    for (int32_t d = 0; d < cluster.size(); ++d)
      RC_ASSERT(best.memory.peak[d] <= cluster.devices[d].memory);
  } catch (const ImpossibleError& error) {
    const int64_t limit = LimitThatIsSaidToWork(error);
    RC_ASSERT(limit <= works);
    for (Device& device : cluster.devices) device.memory = limit;
    place(Offload::kAuto);  // does not throw
  }
}

// The name of a member without what became of it.
std::string RecipeName(const Member& member) {
  std::string name = member.name;
  for (const char* suffix : {", offloading", ", recomputing"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - std::string_view(suffix).size());
  }
  if (!member.pipeline.empty()) {
    const std::string suffix = PipelinedName("", member.microbatches, member.pipeline);
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  return name;
}

// ---- all choices of small graphs ----

// The fastest of all sets of operators and all moments at which fetches can start, in one order.
class AllChoices {
 public:
  AllChoices(const Problem& problem, const Evaluated& base)
      : problem_(problem), base_(base), simulator_(problem.ops, problem.cluster) {}

  Time Best() {
    const std::vector<int32_t> ops = WithParameters(problem_);
    for (uint32_t set = 0; set < 1U << ops.size(); ++set) {
      std::vector<int32_t> chosen;
      for (size_t k = 0; k < ops.size(); ++k) {
        if (set >> k & 1) chosen.push_back(ops[k]);
      }
      plan_ = KeepOnHost(problem_.graph, problem_.cluster, chosen);
      const std::vector<int32_t>& order = base_.schedule.order[0];
      for (size_t at = 0; at < order.size(); ++at) {
        if (plan_.offloaded[order[at]]) {
          plan_.fetches[0].push_back({order[at], {order[at]}, -1});
          position_.push_back(static_cast<int32_t>(at));
        }
      }
      Start(0, -1);
      position_.clear();
    }
    return best_;
  }

 private:
  // A fetch starts behind the operator at `from` or a later one.
  void Start(size_t fetch, int32_t from) {
    if (fetch == position_.size()) return Run();
    for (int32_t after = from; after < position_[fetch]; ++after) {
      plan_.fetches[0][fetch].after = after < 0 ? -1 : base_.schedule.order[0][after];
      Start(fetch + 1, after);
    }
  }

  void Run() {
    simulator_.RunWithHost(base_.schedule.device, base_.schedule.order[0], problem_.graph,
                           std::make_shared<const HostPlan>(plan_));
    const Schedule schedule = simulator_.Result();
    const MemoryUse memory = ReplayMemory(problem_.sizes, problem_.ops, schedule, 1);
    if (Excess(memory.peak, problem_.cluster) == 0) best_ = std::min(best_, schedule.makespan);
  }

  const Problem& problem_;
  const Evaluated& base_;
  Simulator simulator_;
  HostPlan plan_;
  std::vector<int32_t> position_;
  Time best_ = kNever;
};

// A graph of `n` operators with parameters, an edge between any two with probability 0.4.
Graph SmallGraph(std::mt19937& random, int n) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  GraphBuilder builder("small");
  for (int i = 0; i < n; ++i) {
    builder.AddOp({.name = fmt::format("op{}", i),
                   .us = static_cast<double>(pick(1, 40)),
                   .perm = pick(0, 40),
                   .temp = pick(0, 10),
                   .out = {pick(0, 20)}},
                  "");
  }
  for (int j = 1; j < n; ++j) {
    for (int i = 0; i < j; ++i) {
      if (pick(0, 9) < 4) {
        builder.AddUse(i, j, fmt::format("op{}:0", i),
                       static_cast<double>(builder.graph.ops[i].out[0]), -1, "");
      }
    }
  }
  return builder.Build();
}

// Every device for every operator, every order, every set of operators on the host, every order of
// their fetches and every operator behind which one can start: nothing is pruned.
class BruteForce {
 public:
  explicit BruteForce(const Problem& problem)
      : problem_(problem), simulator_(problem.ops, problem.cluster) {}

  Time Best() {
    const int32_t n = problem_.ops.size(), devices = problem_.cluster.size();
    std::vector<int32_t> of_group(problem_.ops.groups, 0);
    device_.resize(n);
    order_.resize(n);
    while (true) {
      for (int32_t i = 0; i < n; ++i) device_[i] = of_group[problem_.ops.group[i]];
      std::iota(order_.begin(), order_.end(), 0);
      do Sets();
      while (std::next_permutation(order_.begin(), order_.end()));
      int32_t g = 0;
      while (g < problem_.ops.groups && ++of_group[g] == devices) of_group[g++] = 0;
      if (g == problem_.ops.groups) return best_;
    }
  }

 private:
  void Sets() {
    if (simulator_.Run(device_, Dispatch::kOrder, order_) == kNever) return;  // no order
    const std::vector<int32_t> ops = WithParameters(problem_);
    for (uint32_t set = 0; set < 1U << ops.size(); ++set) {
      std::vector<int32_t> chosen;
      for (size_t k = 0; k < ops.size(); ++k) {
        if (set >> k & 1) chosen.push_back(ops[k]);
      }
      do {
        plan_ = KeepOnHost(problem_.graph, problem_.cluster, chosen);
        Fetches(chosen, 0);
      } while (std::next_permutation(chosen.begin(), chosen.end()));
    }
  }

  void Fetches(const std::vector<int32_t>& chosen, size_t k) {
    if (k == chosen.size()) return Run();
    const int32_t op = chosen[k];
    std::vector<Fetch>& fetches = plan_.fetches[device_[op]];
    fetches.push_back({op, {op}, -1});
    Fetches(chosen, k + 1);
    for (int32_t i : order_) {
      if (i == op) break;
      if (device_[i] != device_[op]) continue;
      fetches.back().after = i;
      Fetches(chosen, k + 1);
    }
    fetches.pop_back();
  }

  void Run() {
    const Time makespan = simulator_.RunWithHost(device_, order_, problem_.graph,
                                                 std::make_shared<const HostPlan>(plan_));
    if (makespan >= best_) return;
    const MemoryUse memory =
        ReplayMemory(problem_.sizes, problem_.ops, simulator_.Result(), problem_.cluster.size());
    if (Excess(memory.peak, problem_.cluster) == 0) best_ = makespan;
  }

  const Problem& problem_;
  Simulator simulator_;
  std::vector<int32_t> device_, order_;
  HostPlan plan_;
  Time best_ = kNever;
};

TEST(Offload, IsPartOfExactAnswers) {
  int with_host = 0, refused = 0;
  std::mt19937 random(3);
  for (int k = 0; k < 120; ++k) {
    const int32_t devices = 1 + k % 2;
    const Graph graph = SmallGraph(random, devices == 1 ? 3 + k / 2 % 2 : 3);
    Cluster cluster = Hosted(devices, INT64_MAX, static_cast<Comm>(k / 2 % 3));
    cluster.link = {0.2, 1};
    cluster.host_link = {0.1 * static_cast<double>(1 + k % 10), static_cast<double>(k % 5)};
    const int64_t need = OnFirstDevice(Of(graph, cluster)).memory.peak[0];
    for (Device& device : cluster.devices) device.memory = need * (25 + k % 60) / 100;
    const Problem problem = Of(graph, cluster);
    const Time best = BruteForce(problem).Best();
    OptimalOptions options{.place = {.optimizer = Optimizer::kNone,
                                     .allocator_rounding = 1,
                                     .refine_steps = 20,
                                     .offload = Offload::kAuto}};
    if (best == kNever) {
      ++refused;
      EXPECT_THROW(FindOptimal(graph, cluster, options), ImpossibleError) << k;
      continue;
    }
    const OptimalResult found = FindOptimal(graph, cluster, options);
    const Schedule& schedule = found.place.best.result.schedule;
    EXPECT_TRUE(found.proven) << found.explanation;
    EXPECT_EQ(schedule.makespan, best) << k;
    EXPECT_EQ(found.place.bound.value(), best) << k;
    with_host += schedule.host != nullptr;
  }
  EXPECT_GT(with_host, 20);
  EXPECT_GT(refused, 3);
}

TEST(Offload, IsRefusedInProofsOfTrainingSteps) {
  OptimalOptions options{.place = {.offload = Offload::kAuto}};
  options.place.training.step = Step::kTraining;
  EXPECT_THROW(FindOptimal(Chain(2, 1, 1), Hosted(1, 100), options), UsageError);
}

// A chain that one device holds at 152; the host lets it run with less.
TEST(Offload, LowersTheSmallestLimit) {
  PlaceOptions options{.allocator_rounding = 1};
  const Graph graph = Chain(3, 100, 50);
  const LimitSweep without = SweepLimits(graph, Hosted(1, INT64_MAX), options, 3);
  EXPECT_EQ(without.smallest, 152);
  options.offload = Offload::kAuto;
  const LimitSweep with = SweepLimits(graph, Hosted(1, INT64_MAX), options, 5);
  // An operator with its parameters, what it reads and what it makes; found to 1 %.
  EXPECT_EQ(with.least, 51);
  EXPECT_EQ(with.smallest, 52);
  EXPECT_EQ(with.points.front().makespan, (3 * 50 + 300) * kUs);
  EXPECT_EQ(with.points.front().on_host, 150);
  EXPECT_EQ(with.points.back().makespan, 300 * kUs);
  EXPECT_EQ(with.points.back().on_host, 0);
  for (size_t k = 1; k < with.points.size(); ++k) {
    EXPECT_LE(with.points[k].makespan, with.points[k - 1].makespan);
    EXPECT_LE(with.points[k].peak, with.points[k].limit);
  }
}

// Every method of a comparison with what it may fall back on is at least what it was.
RC_GTEST_PROP(Offload, MakesNoMethodOfAComparisonWorse, ()) {
  const Graph graph = RandomGraph({.max_ops = 8, .max_us = 200});
  Cluster cluster = RandomHosted(0);
  PlaceOptions options{.allocator_rounding = 1};
  options.training.microbatches = *rc::gen::element<std::string>("1", "2");
  const int64_t all = Of(BuildTrainingStep(graph, {}), cluster).sizes.Everything();
  for (Device& device : cluster.devices) device.memory = all * *rc::gen::inRange(1, 10) / 10;
  const Comparison without = CompareSteps(graph, cluster, options);
  options.offload = *rc::gen::element(Offload::kOff, Offload::kAuto);
  options.training.recompute = *rc::gen::element(Recompute::kOff, Recompute::kAuto);
  const Comparison with = CompareSteps(graph, cluster, options);
  RC_ASSERT(with.members.size() == without.members.size());
  for (size_t k = 0; k < with.members.size(); ++k) {
    const Member &before = without.members[k], &after = with.members[k];
    if (before.algorithm == Algorithm::kRandom) continue;  // a mean
    RC_ASSERT(!Better(before, after));
    if (after.usable()) RC_ASSERT(after.result.schedule.makespan >= with.bound.value());
    const Member kept = MemberOf(RecipeName(after), after.algorithm, NumbersOf(after));
    RC_ASSERT(kept.name == after.name);
    RC_ASSERT(kept.with_memory == after.with_memory);
  }
}

// How often and by how much the choice misses the best one is in the documentation.
TEST(Offload, IsCloseToTheBestOfAllChoicesOnSmallGraphs) {
  int compared = 0, best_found = 0;
  double sum = 0, worst = 1;
  std::mt19937 random(7);
  for (int k = 0; k < 400; ++k) {
    const Graph graph = SmallGraph(random, 3 + k % 4);
    Cluster cluster = Hosted(1, INT64_MAX);
    cluster.host_link = {0.1 * static_cast<double>(1 + k % 10), static_cast<double>(k % 5)};
    const int64_t need = OnFirstDevice(Of(graph, cluster)).memory.peak[0];
    cluster.devices[0].memory = need * (40 + k % 55) / 100;
    const Problem problem = Of(graph, cluster);
    const Evaluated base = OnFirstDevice(problem);
    if (base.feasible()) continue;
    const Time best = AllChoices(problem, base).Best();
    const std::optional<Evaluated> found = OffloadToFit(problem, base);
    // It finds a way where there is one, and none is better than the best.
    ASSERT_EQ(found.has_value(), best < kNever) << k;
    if (!found) continue;
    EXPECT_GE(found->schedule.makespan, best) << k;
    const double ratio = static_cast<double>(found->schedule.makespan) / static_cast<double>(best);
    ++compared;
    best_found += found->schedule.makespan == best;
    sum += ratio;
    worst = std::max(worst, ratio);
  }
  fmt::print("{} compared: best found in {}, mean ratio {:.4f}, worst {:.3f}\n", compared,
             best_found, sum / compared, worst);
  EXPECT_GT(compared, 100);
  EXPECT_LE(sum / compared, 1.05);
}

}  // namespace
}  // namespace orchard::place
