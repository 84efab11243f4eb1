#include "place/planner.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/clock.h"
#include "base/hash.h"
#include "base/philox.h"
#include "place/contiguous.h"
#include "place/device_map_rule.h"
#include "place/fifo_simulator.h"
#include "place/heft.h"
#include "place/m_topo.h"
#include "place/min_cut.h"
#include "place/sct.h"
#include "place/sct_paths.h"
#include "place/sct_pdlp.h"

namespace orchard::place {
namespace {

constexpr size_t kMaxHighsEdges = 5000;  // beyond, the simplex method takes minutes
constexpr int kMemoryTries = 5;          // plans with ever smaller limits, before giving up

}  // namespace

Member Planner::Run(const Recipe& recipe) const {
  const double begin = SecondsNow();
  Member member;
  member.name = recipe.Label();
  member.algorithm = recipe.algorithm;
  member.limit_free = recipe.LimitFree();
  if (recipe.UsesGroups()) {
    PlanTasks(recipe, member);
  } else {
    Fixed(recipe, member);
  }
  CountBytes(problem_, member);
  member.seconds = SecondsNow() - begin;
  return member;
}

// Placements that need no planning.
void Planner::Fixed(const Recipe& recipe, Member& member) const {
  std::vector<int32_t> of_group(problem_.ops.groups, 0);
  const std::vector<std::vector<int32_t>> groups = problem_.ops.TasksOfGroups();
  const int32_t devices = problem_.cluster.size();
  if (recipe.algorithm == Algorithm::kSingle) return Single(member);
  if (recipe.algorithm == Algorithm::kMinCut) of_group = MinCut(problem_.ops, problem_.cluster);
  if (recipe.algorithm == Algorithm::kAccelerate) {
    std::vector<int64_t> bytes(problem_.ops.groups, 0);  // groups are numbered by first appearance
    for (int32_t i = 0; i < problem_.ops.size(); ++i)
      bytes[problem_.ops.group[i]] += problem_.graph.ops[i].perm;
    of_group = BalancedDeviceMap(bytes, problem_.cluster);
  }
  for (int32_t g = 0; g < problem_.ops.groups; ++g) {
    if (recipe.algorithm == Algorithm::kRoundRobin) {
      of_group[g] = g % devices;
    } else if (recipe.algorithm == Algorithm::kRandom) {
      const uint32_t word = PhiloxAt(PhiloxKey(seed_, Hash64("baechi-place random")), g).word[0];
      of_group[g] = static_cast<int32_t>(static_cast<uint64_t>(word) * devices >> 32);
    } else if (recipe.algorithm == Algorithm::kExpert) {
      for (int32_t i : groups[g]) of_group[g] = std::max(of_group[g], problem_.graph.ops[i].expert);
      of_group[g] %= devices;
    }
  }
  std::vector<int32_t> device = FromGroups(of_group);
  if (options_.compat != Compat::kNone && recipe.algorithm == Algorithm::kExpert) {
    for (int32_t i = 0; i < problem_.ops.size(); ++i)
      device[i] = std::max(0, problem_.graph.ops[i].expert) % devices;
  }
  member.result = Evaluate(problem_, device);
  if (options_.compat != Compat::kNone) Published(device, member);
}

// All on one device: the one where that is fastest and fits.
void Planner::Single(Member& member) const {
  bool first = true;
  std::set<std::pair<int64_t, double>> seen;
  for (int32_t d = 0; d < problem_.cluster.size(); ++d) {
    const Device& device = problem_.cluster.devices[d];
    const bool known = !seen.insert({device.memory, device.speed}).second;
    if (known && problem_.ops.work_on.empty()) continue;
    Evaluated result = Evaluate(problem_, FromGroups(std::vector<int32_t>(problem_.ops.groups, d)));
    if (first || std::tuple(result.excess, result.schedule.makespan) <
                     std::tuple(member.result.excess, member.result.schedule.makespan)) {
      member.result = std::move(result);
    }
    first = false;
  }
}

std::vector<int32_t> Planner::FromGroups(const std::vector<int32_t>& of_group) const {
  std::vector<int32_t> device(problem_.ops.size());
  for (int32_t i = 0; i < problem_.ops.size(); ++i) {
    const int32_t g = problem_.ops.group[i];
    device[i] = problem_.group_pin[g] >= 0 ? problem_.group_pin[g] : of_group[g];
  }
  return device;
}

GroupFacts Planner::FactsOf(const TaskGraph& tasks) const {
  GroupFacts facts{std::vector<int64_t>(tasks.groups, 0), std::vector<int32_t>(tasks.groups, -1)};
  for (int32_t i = 0; i < tasks.size(); ++i) {
    for (int32_t op : tasks.Members(i)) {
      facts.resident[tasks.group[i]] += problem_.resident[op];
      const int32_t pin = problem_.group_pin[problem_.ops.group[op]];
      int32_t& of_group = facts.pin[tasks.group[i]];
      if (pin >= 0 && of_group < 0) of_group = pin;
    }
  }
  return facts;
}

// Where coplacement merged groups that are pinned apart, pins win.
void Planner::RestorePins(std::vector<int32_t>& device) const {
  for (int32_t i = 0; i < problem_.ops.size(); ++i) {
    const int32_t pin = problem_.group_pin[problem_.ops.group[i]];
    if (pin >= 0) device[i] = pin;
  }
}

// Plans, and while that overruns a device's memory plans again with a smaller limit there.
void Planner::PlanTasks(const Recipe& recipe, Member& member) const {
  const TaskGraph& tasks = cache_.Get(recipe);
  const GroupFacts facts = FactsOf(tasks);
  const double begin = SecondsNow();
  if (recipe.algorithm == Algorithm::kMSct) FindFavourites(tasks, member);
  Cluster limited = problem_.cluster;
  bool first = true;
  member.placed = false;
  for (int attempt = 0; attempt < kMemoryTries; ++attempt) {
    const Schedule plan = Plan(recipe, tasks, limited, facts, member);
    if (first) member.plan_seconds = SecondsNow() - begin;
    if (!plan.complete()) break;
    Expanded expanded = Expand(problem_, tasks, plan);
    RestorePins(expanded.device);
    Evaluated result = Evaluate(problem_, expanded.device, expanded.order);
    member.placed = true;
    if (first && options_.compat != Compat::kNone) Published(expanded.device, member);
    const std::vector<int64_t> peak = result.memory.peak;
    const bool better = first || result.excess < member.result.excess;
    if (better) member.result = std::move(result);
    first = false;
    if (member.result.feasible() || options_.compat != Compat::kNone) break;
    for (int32_t d = 0; d < limited.size(); ++d) {
      const int64_t over = peak[d] - problem_.cluster.devices[d].memory;
      if (over > 0)
        limited.devices[d].memory = std::max<int64_t>(0, limited.devices[d].memory - over);
    }
  }
  if (recipe.algorithm == Algorithm::kMSct) FavouritesOfOperators(tasks, member);
}

Schedule Planner::Plan(const Recipe& recipe, const TaskGraph& tasks, const Cluster& cluster,
                       const GroupFacts& facts, const Member& member) const {
  const bool compat = options_.compat != Compat::kNone;
  const bool by_groups = !(compat && options_.adjust != Adjust::kNone);
  switch (recipe.algorithm) {
    case Algorithm::kMTopo:
    case Algorithm::kMTopoFill:
      return Adjusted(tasks, cluster,
                      MTopo(tasks, cluster,
                            {.fill = recipe.algorithm == Algorithm::kMTopoFill,
                             .groups = by_groups,
                             .hard_limit = !compat}));
    case Algorithm::kHeft:
    case Algorithm::kHeftLookahead:
      return Heft(tasks, cluster,
                  {.lookahead = recipe.algorithm == Algorithm::kHeftLookahead,
                   .group_resident = facts.resident,
                   .group_device = facts.pin});
    case Algorithm::kContiguous:
      return SplitContiguously(tasks, cluster, facts, ContiguousGoal::kLeastTraffic);
    case Algorithm::kPipeDream:
      return SplitContiguously(tasks, cluster, facts, ContiguousGoal::kLeastLoad);
    case Algorithm::kMemorySplit:
      return MemorySplit(tasks, problem_.cluster, problem_.sizes, facts);
    default: {
      const MemoryModel memory = options_.memory_model.value_or(
          options_.compat == Compat::kTorch ? MemoryModel::kTorch : MemoryModel::kEvent);
      ListOptions list{.memory = memory,
                       .published = compat,
                       .group_resident = facts.resident,
                       .favourite = member.favourite,
                       .group_device = facts.pin};
      if (memory == MemoryModel::kTorch)
        list.torch = TorchNeeds(problem_.graph, tasks, options_.mode);
      if (by_groups) return ListSchedule(tasks, cluster, list);
      TaskGraph alone = tasks;
      for (int32_t i = 0; i < alone.size(); ++i) alone.group[i] = i;
      alone.groups = alone.size();
      list.group_resident.clear();
      list.group_device.clear();
      return Adjusted(tasks, cluster, ListSchedule(alone, cluster, list));
    }
  }
}

Schedule Planner::Adjusted(const TaskGraph& tasks, const Cluster& cluster, Schedule plan) const {
  if (options_.adjust == Adjust::kNone || !plan.complete()) return plan;
  if (AdjustGroups(tasks, cluster, options_.adjust, options_.adjust_with_limit, plan.device) >= 0)
    plan.placed = 0;
  plan.start.clear();  // no longer those of this placement
  return plan;
}

// Without x where the programme was not to be solved, or could not be in time.
SctLp Planner::SolveFavourites(const TaskGraph& tasks) const {
  const LpSolver solver = options_.lp;
  const double limit = options_.lp_time_limit;
  if (solver == LpSolver::kAuto && tasks.edges.size() <= kMaxHighsEdges) {
    SctLp lp = SolveSctLp(tasks, problem_.cluster, limit);
    if (lp.optimal) return lp;
  }
  switch (solver) {
    case LpSolver::kNone:
      return {};
    case LpSolver::kHighs:
      return SolveSctLp(tasks, problem_.cluster, limit);
    case LpSolver::kPdlp:
      return SolveSctPdlp(tasks, problem_.cluster,
                          {.time_limit_seconds = limit,
                           .threads = options_.pdlp.threads,
                           .gpu = options_.pdlp.gpu})
          .lp;
    default:
      return SolveSctPaths(tasks, problem_.cluster, {.time_limit_seconds = limit}).lp;
  }
}

void Planner::FindFavourites(const TaskGraph& tasks, Member& member) const {
  const bool compat = options_.compat != Compat::kNone;
  const double theta = options_.sct_theta.value_or(options_.compat == Compat::kTf ? 0.1 : 0.5);
  const SctLp lp = SolveFavourites(tasks);
  if (!lp.x.empty()) {
    member.lp_objective_us = lp.makespan_us;
    member.lp_bound_us = lp.bound_us;
    member.favourite =
        RoundFavourites(tasks, lp.x, theta, compat ? Rounding::kPublished : Rounding::kStrict)
            .child;
    return;
  }
  member.favourite = MatchFavourites(tasks, problem_.cluster).child;
}

// From tasks to the operators that stand for them.
void Planner::FavouritesOfOperators(const TaskGraph& tasks, Member& member) const {
  std::vector<int32_t> favourite(problem_.ops.size(), -1);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    if (member.favourite[i] >= 0)
      favourite[tasks.Members(i)[0]] = tasks.Members(member.favourite[i])[0];
  }
  member.favourite = std::move(favourite);
}

void Planner::Published(const std::vector<int32_t>& device, Member& member) const {
  const TaskGraph tasks = MakeTasks(problem_.graph, problem_.ops.group, {.compat = true});
  std::vector<int32_t> of_task(tasks.size());
  for (int32_t i = 0; i < tasks.size(); ++i) of_task[i] = device[tasks.Members(i)[0]];
  member.published_makespan = SimulateFifo(tasks, problem_.cluster, of_task).makespan;
}

}  // namespace orchard::place
