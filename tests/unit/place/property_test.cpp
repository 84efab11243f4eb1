// Properties of all algorithms and communication modes over random graphs.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "base/error.h"
#include "place/fifo_simulator.h"
#include "place/fuse.h"
#include "place/heft.h"
#include "place/place.h"
#include "unit/place/check_schedule.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

Comm RandomComm() { return static_cast<Comm>(*rc::gen::inRange(0, 3)); }

Cluster RandomCluster(Comm comm, bool equal = false) {
  Cluster cluster(*rc::gen::inRange(1, 4), INT64_MAX,
                  {.us_per_byte = *rc::gen::inRange(0, 10) / 20.0,
                   .latency_us = static_cast<double>(*rc::gen::inRange(0, 5))},
                  comm);
  if (equal || *rc::gen::inRange(0, 2)) return cluster;
  for (Device& device : cluster.devices) device.speed = *rc::gen::inRange(1, 4) / 2.0;
  for (int k = 0; k < cluster.size() * cluster.size(); ++k)
    cluster.links.push_back({*rc::gen::inRange(0, 10) / 20.0, *rc::gen::inRange(0, 5) * 1.0});
  return cluster;
}

MemoryOptions Unrounded() { return {.rounding = 1}; }

Problem MakeProblem(const Graph& graph, const Cluster& cluster) {
  return Problem(graph, cluster, Unrounded(), GroupOperators(graph, Grouping::kTf));
}

// Plans of every algorithm, as devices of the operators in the groups that must share.
std::vector<std::pair<std::string, Schedule>> Plans(const TaskGraph& tasks,
                                                    const Cluster& cluster) {
  std::vector<std::pair<std::string, Schedule>> plans;
  plans.emplace_back("m-etf", ListSchedule(tasks, cluster, {}));
  plans.emplace_back("m-etf published", ListSchedule(tasks, cluster, {.published = true}));
  plans.emplace_back(
      "m-sct", ListSchedule(tasks, cluster, {.favourite = MatchFavourites(tasks, cluster).child}));
  plans.emplace_back("heft", Heft(tasks, cluster));
  plans.emplace_back("heft-lookahead", Heft(tasks, cluster, {.lookahead = true}));
  return plans;
}

RC_GTEST_PROP(Simulator, KeepsTheRulesWhateverThePlacement, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster = RandomCluster(RandomComm());
  const Problem problem = MakeProblem(graph, cluster);
  std::vector<int32_t> device(graph.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  const Evaluated result = Evaluate(problem, device);
  RC_ASSERT(Violation(problem.ops, cluster, result.schedule) == "");
}

// The order that came out, given back, gives the same times to the last nanosecond.
RC_GTEST_PROP(Simulator, RepeatsItsOwnOrder, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster = RandomCluster(RandomComm());
  const Problem problem = MakeProblem(graph, cluster);
  std::vector<int32_t> device(graph.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  const Evaluated result = Evaluate(problem, device);
  std::vector<int32_t> order;
  for (const auto& list : result.schedule.order)
    order.insert(order.end(), list.begin(), list.end());
  Simulator simulator(problem.ops, cluster);
  RC_ASSERT(simulator.Run(device, Dispatch::kOrder, order) == result.schedule.makespan);
  RC_ASSERT(simulator.Result().start == result.schedule.start);
}

RC_GTEST_PROP(Planners, KeepGroupsAndPlaceAll, ()) {
  const Graph graph = RandomGraph();
  const Cluster cluster = RandomCluster(RandomComm());
  const Problem problem = MakeProblem(graph, cluster);
  const auto grouping = static_cast<Grouping>(*rc::gen::inRange(1, 4));
  const TaskGraph plain =
      MakeTasks(graph, GroupOperators(graph, grouping, cluster, DefaultGroupCap(graph, cluster)));
  for (const TaskGraph& tasks : {plain, Fuse(plain)}) {
    for (const auto& [name, plan] : Plans(tasks, cluster)) {
      RC_LOG() << name << '\n';
      RC_ASSERT(plan.complete());
      const Expanded expanded = Expand(problem, tasks, plan);
      const Evaluated result = Evaluate(problem, expanded.device, expanded.order);
      RC_ASSERT(Violation(problem.ops, cluster, result.schedule) == "");
      RC_ASSERT(result.schedule.makespan >= ComputeLowerBound(problem.ops, cluster).value());
    }
  }
}

// What m-ETF and HEFT promise with parallel links, the simulator delivers in the order of the plan.
RC_GTEST_PROP(Planners, TellTheMakespanOfParallelLinks, ()) {
  const Graph graph = RandomGraph();
  const Cluster cluster = RandomCluster(Comm::kParallel);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
  for (const auto& [name, plan] : Plans(tasks, cluster)) {
    if (name == "m-etf published") continue;  // its estimates add up what travels at once
    RC_LOG() << name << '\n';
    Simulator simulator(tasks, cluster);
    const Time simulated = simulator.Run(plan.device, Dispatch::kOrder, OrderByStart(tasks, plan));
    if (name != "m-etf") {
      // Nothing waits in a gap that it does not need, nor for a favourite that did not come.
      RC_ASSERT(simulated <= plan.makespan);
    } else {
      RC_ASSERT(simulated == plan.makespan);
    }
  }
}

RC_GTEST_PROP(Planners, EtfStaysWithinItsGuarantee, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster = RandomCluster(Comm::kParallel, /*equal=*/true);
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const Schedule plan = ListSchedule(tasks, cluster, {});
  RC_ASSERT(plan.makespan <= EtfGuarantee(tasks, cluster));
}

RC_GTEST_PROP(Planners, OneDeviceTakesTheSumOfAllWork, ()) {
  const Graph graph = RandomGraph();
  const Cluster cluster(1, INT64_MAX, {}, RandomComm());
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
  for (const auto& [name, plan] : Plans(tasks, cluster)) {
    RC_ASSERT(plan.makespan == tasks.TotalWork());
    RC_ASSERT(SimulateFifo(tasks, cluster, plan.device).makespan == tasks.TotalWork());
  }
}

// Graham: without communication, list scheduling is within 2 - 1/n of any lower bound's sum.
RC_GTEST_PROP(Planners, FreeCommunicationKeepsGrahamsBound, ()) {
  const Graph graph = RandomGraph({.groups = false});
  const Cluster cluster(*rc::gen::inRange(1, 4), INT64_MAX, {0, 0}, RandomComm());
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  const LowerBound bound = ComputeLowerBound(tasks, cluster);
  const double n = cluster.size();
  const Schedule plan = ListSchedule(tasks, cluster, {});
  const double most = static_cast<double>(tasks.TotalWork()) / n +
                      (1 - 1 / n) * static_cast<double>(bound.critical_path);
  RC_ASSERT(static_cast<double>(plan.makespan) <= most + 1e-6);
}

RC_GTEST_PROP(Planners, ScaleWithTime, ()) {
  const Graph graph = RandomGraph();
  const auto factor = *rc::gen::inRange(2, 5);
  Graph slower = graph;
  for (Op& op : slower.ops) op.us *= factor;
  const Cluster cluster = RandomCluster(RandomComm(), /*equal=*/true);
  Cluster slow_links = cluster;
  slow_links.link = {cluster.link.us_per_byte * factor, cluster.link.latency_us * factor};
  const auto group = GroupOperators(graph, Grouping::kTf);
  const TaskGraph fast = MakeTasks(graph, group), slow = MakeTasks(slower, group);
  const auto fast_plans = Plans(fast, cluster), slow_plans = Plans(slow, slow_links);
  for (size_t k = 0; k < fast_plans.size(); ++k) {
    if (fast_plans[k].first.starts_with("heft")) continue;  // its ranks round to nanoseconds
    RC_LOG() << fast_plans[k].first << '\n';
    RC_ASSERT(slow_plans[k].second.makespan == factor * fast_plans[k].second.makespan);
  }
}

RC_GTEST_PROP(Fusion, KeepsWorkParametersAndOrder, ()) {
  const Graph graph = RandomGraph();
  const auto grouping = static_cast<Grouping>(*rc::gen::inRange(0, 3));
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, grouping));
  const TaskGraph fused = Fuse(tasks, {.disjoint_paths = *rc::gen::inRange(0, 2) == 1});
  RC_ASSERT(fused.TotalWork() == tasks.TotalWork());
  RC_ASSERT(std::accumulate(fused.perm.begin(), fused.perm.end(), int64_t{0}) ==
            std::accumulate(tasks.perm.begin(), tasks.perm.end(), int64_t{0}));
  RC_ASSERT(fused.members.size() == static_cast<size_t>(graph.size()));
  for (const Edge& edge : fused.edges) RC_ASSERT(fused.topo[edge.src] < fused.topo[edge.dst]);
  for (size_t e = 0; e < fused.edges.size(); ++e) {
    const auto tensors = fused.TensorsOf(static_cast<int32_t>(e));
    for (int32_t t : tensors) {
      RC_ASSERT(std::count(tensors.begin(), tensors.end(), t) == 1);
      RC_ASSERT(fused.tensors[t].producer == fused.edges[e].src);
    }
  }
}

// u -> v, where u has another way out and v another way in; with x -> y a second path.
TEST(Fusion, LooksForASecondPathWhereAsked) {
  for (bool second : {false, true}) {
    GraphBuilder builder("paths");
    for (const char* name : {"u", "v", "x", "y"}) {
      builder.AddOp({.name = name, .us = 1, .out = {4}, .groups = {name[0] < 'x' ? "g" : name}},
                    name);
    }
    builder.AddUse(0, 1, "u:0", 4, -1, "");
    builder.AddUse(0, 2, "u:0", 4, -1, "");
    builder.AddUse(3, 1, "y:0", 4, -1, "");
    if (second) builder.AddUse(2, 3, "x:0", 4, -1, "");
    const Graph graph = builder.Build();
    const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kTf));
    EXPECT_EQ(Fuse(tasks).size(), 4);
    EXPECT_EQ(Fuse(tasks, {.disjoint_paths = true}).size(), second ? 4 : 3);
  }
}

// Memory by definition: at every moment, what is there.
RC_GTEST_PROP(Memory, ReplayFindsThePeakOfTheDefinition, ()) {
  const Graph graph = RandomGraph({.min_us = 1, .groups = false});
  const Cluster cluster = RandomCluster(RandomComm());
  const auto mode = static_cast<Mode>(*rc::gen::inRange(0, 2));
  const Problem problem(graph, cluster, {.mode = mode, .rounding = 1},
                        GroupOperators(graph, Grouping::kNone));
  std::vector<int32_t> device(graph.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  const Evaluated result = Evaluate(problem, device);
  const Schedule& s = result.schedule;
  std::vector<Time> moments = s.start;
  for (const Transfer& t : s.transfers) moments.push_back(t.start);
  std::vector<int64_t> peak(cluster.size(), 0);
  for (Time now : moments) {
    std::vector<int64_t> bytes(cluster.size(), 0);
    const auto there = [&](Time begin, Time end) {
      return begin <= now && (now < end || (begin == end && begin == now));
    };
    for (int32_t i = 0; i < graph.size(); ++i) {
      const int32_t d = device[i];
      bytes[d] += graph.ops[i].perm * (mode == Mode::kTrain ? 4 : 1);
      if (there(s.start[i], s.end[i])) bytes[d] += graph.ops[i].temp;
      for (int32_t port = 0; port < 2; ++port) {
        Time end = s.end[i];
        std::vector<std::pair<Time, Time>> copies(cluster.size(), {-1, -1});
        for (const Transfer& t : s.transfers) {
          const Tensor& tensor = graph.tensors[t.tensor];
          if (tensor.producer != i || tensor.port != port) continue;
          end = std::max(end, t.end);
          copies[t.dst] = {t.start, t.end};
        }
        for (int32_t e = graph.out_begin[i]; e < graph.out_begin[i + 1]; ++e) {
          for (int32_t t : graph.TensorsOf(e)) {
            if (graph.tensors[t].port != port) continue;
            const int32_t j = graph.edges[e].dst;
            Time& last = device[j] == d ? end : copies[device[j]].second;
            last = std::max(last, s.end[j]);
          }
        }
        if (mode == Mode::kTrain) end = s.makespan;
        if (there(s.start[i], end)) bytes[d] += graph.ops[i].out[port];
        for (int32_t c = 0; c < cluster.size(); ++c) {
          if (copies[c].first < 0) continue;
          if (mode == Mode::kTrain) copies[c].second = s.makespan;
          if (there(copies[c].first, copies[c].second)) bytes[c] += graph.ops[i].out[port];
        }
      }
    }
    for (int32_t d = 0; d < cluster.size(); ++d) peak[d] = std::max(peak[d], bytes[d]);
  }
  RC_ASSERT(result.memory.peak == peak);
}

// The best of all placements of a small graph, in the simulator's own order of arrival or priority.
Time BruteForce(const Problem& problem) {
  const int32_t devices = problem.cluster.size(), groups = problem.ops.groups;
  std::vector<int32_t> of_group(groups, 0), device(problem.ops.size());
  Time best = kNever;
  while (true) {
    for (int32_t i = 0; i < problem.ops.size(); ++i) device[i] = of_group[problem.ops.group[i]];
    best = std::min(best, Evaluate(problem, device).schedule.makespan);
    int32_t g = 0;
    while (g < groups && ++of_group[g] == devices) of_group[g++] = 0;
    if (g == groups) return best;
  }
}

RC_GTEST_PROP(Portfolio, IsNeverWorseThanAMemberAndFindsSmallOptima, ()) {
  const Graph graph = RandomGraph({.max_ops = 6});
  const Cluster cluster(2, INT64_MAX, {.us_per_byte = 0.3, .latency_us = 1}, RandomComm());
  const Problem problem = MakeProblem(graph, cluster);
  PlaceOptions options;
  options.allocator_rounding = 1;
  options.refine_steps = 300;
  const PlaceResult result = Place(graph, cluster, options);
  const Time makespan = result.best.result.schedule.makespan;
  for (const Member& member : result.members) {
    if (member.usable()) RC_ASSERT(makespan <= member.result.schedule.makespan);
  }
  RC_ASSERT(makespan <= problem.ops.TotalWork());
  RC_ASSERT(makespan >= result.bound.value());
  const Time optimum = BruteForce(problem);
  RC_ASSERT(makespan <= optimum);
  RC_ASSERT(Violation(problem.ops, cluster, result.best.result.schedule) == "");
}

RC_GTEST_PROP(Portfolio, NeverExceedsAMemoryLimit, ()) {
  const Graph graph = RandomGraph({.max_ops = 10});
  Cluster cluster(2, INT64_MAX, {.us_per_byte = 0.1, .latency_us = 1}, RandomComm());
  PlaceOptions options;
  options.allocator_rounding = 1;
  options.refine_steps = 100;
  options.mode = static_cast<Mode>(*rc::gen::inRange(0, 2));
  const MemorySizes sizes(graph, {.mode = options.mode, .rounding = 1});
  for (Device& device : cluster.devices)
    device.memory = sizes.Everything() * *rc::gen::inRange(2, 11) / 10;
  try {
    const PlaceResult result = Place(graph, cluster, options);
    for (int32_t d = 0; d < cluster.size(); ++d)
      RC_ASSERT(result.best.result.memory.peak[d] <= cluster.devices[d].memory);
  } catch (const ImpossibleError& error) {
    RC_ASSERT(std::string(error.what()).find("no placement fits") != std::string::npos);
  }
}

RC_GTEST_PROP(Portfolio, IsTheSameForAnyNumberOfThreads, ()) {
  const Graph graph = RandomGraph({.max_ops = 10});
  const Cluster cluster(3, INT64_MAX, {.us_per_byte = 0.3, .latency_us = 1}, RandomComm());
  PlaceOptions options;
  options.refine_steps = 100;
  const PlaceResult one = Place(graph, cluster, options, {.seed = 7});
  const PlaceResult four = Place(graph, cluster, options, {.threads = 4, .seed = 7});
  RC_ASSERT(one.best.name == four.best.name);
  RC_ASSERT(one.best.result.schedule.device == four.best.result.schedule.device);
  RC_ASSERT(one.best.result.schedule.start == four.best.result.schedule.start);
}

}  // namespace
}  // namespace orchard::place
