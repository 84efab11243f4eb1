#include "place/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/number_format.h"
#include "base/philox.h"
#include "base/signals.h"
#include "base/thread_pool.h"
#include "io/printable.h"
#include "place/exhaustive.h"
#include "place/fifo_simulator.h"
#include "place/fuse.h"
#include "place/heft.h"
#include "place/levels.h"
#include "place/m_topo.h"
#include "place/refine.h"

namespace orchard::place {
namespace {

constexpr size_t kMaxLpEdges = 50000;     // beyond, a matching stands in for the programme
constexpr int32_t kLargeGraph = 20000;    // operators from which auto tries fused tasks only
constexpr int64_t kMaxExhaustive = 4000;  // placements that auto tries one by one before annealing
constexpr int kMemoryTries = 5;           // plans with ever smaller limits, before giving up

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One way to plan.
struct Recipe {
  Algorithm algorithm;
  Grouping grouping = Grouping::kTf;
  bool fuse = false;

  bool UsesGroups() const {
    return algorithm == Algorithm::kMTopo || algorithm == Algorithm::kMTopoFill ||
           algorithm == Algorithm::kMEtf || algorithm == Algorithm::kMSct ||
           algorithm == Algorithm::kHeft || algorithm == Algorithm::kHeftLookahead ||
           algorithm == Algorithm::kMemorySplit;
  }
  // Whether the placement does not depend on how much memory equal devices have.
  bool LimitFree() const {
    return !UsesGroups() ||
           (algorithm == Algorithm::kMemorySplit && grouping != Grouping::kCoplaceCapped);
  }
  std::string Label() const {
    if (!UsesGroups()) return Name(algorithm);
    return fmt::format("{}, {}{}", Name(algorithm), Name(grouping), fuse ? ", fused" : "");
  }
};

void CountBytes(const Problem& problem, Member& member) {
  for (const Transfer& transfer : member.result.schedule.transfers)
    member.sent_bytes += problem.ops.tensors[transfer.tensor].bytes;
}

// The tasks that recipes plan, made once per grouping and fusion.
class TaskCache {
 public:
  TaskCache(const Graph& graph, const Cluster& cluster, const PlaceOptions& options)
      : graph_(graph), cluster_(cluster), options_(options) {}

  void Prepare(const Recipe& recipe) {
    if (!recipe.UsesGroups()) return;
    auto& tasks = cache_[{recipe.grouping, recipe.fuse}];
    if (tasks) return;
    const auto group =
        GroupOperators(graph_, recipe.grouping, cluster_, DefaultGroupCap(graph_, cluster_));
    TaskGraph plain = MakeTasks(graph_, group, {.compat = options_.compat != Compat::kNone});
    tasks = std::make_unique<TaskGraph>(recipe.fuse ? Fuse(plain, {.retopo = options_.retopo})
                                                    : std::move(plain));
  }
  const TaskGraph& Get(const Recipe& recipe) const {
    return *cache_.at({recipe.grouping, recipe.fuse});
  }

 private:
  const Graph& graph_;
  const Cluster& cluster_;
  const PlaceOptions& options_;
  std::map<std::pair<Grouping, bool>, std::unique_ptr<TaskGraph>> cache_;
};

class Planner {
 public:
  Planner(const Problem& problem, const PlaceOptions& options, uint64_t seed)
      : problem_(problem),
        options_(options),
        seed_(seed),
        cache_(problem.graph, problem.cluster, options) {}

  // Before Run() on several threads.
  void Prepare(const Recipe& recipe) { cache_.Prepare(recipe); }

  Member Run(const Recipe& recipe) const {
    const double begin = Now();
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
    member.seconds = Now() - begin;
    return member;
  }

 private:
  // Placements that need no planning.
  void Fixed(const Recipe& recipe, Member& member) const {
    std::vector<int32_t> of_group(problem_.ops.groups, 0);
    const std::vector<std::vector<int32_t>> groups = problem_.ops.TasksOfGroups();
    const int32_t devices = problem_.cluster.size();
    if (recipe.algorithm == Algorithm::kSingle) return Single(member);
    for (int32_t g = 0; g < problem_.ops.groups; ++g) {
      if (recipe.algorithm == Algorithm::kRoundRobin) {
        of_group[g] = g % devices;
      } else if (recipe.algorithm == Algorithm::kRandom) {
        const uint32_t word = PhiloxAt(PhiloxKey(seed_, Hash64("baechi-place random")), g).word[0];
        of_group[g] = static_cast<int32_t>(static_cast<uint64_t>(word) * devices >> 32);
      } else {  // expert
        for (int32_t i : groups[g])
          of_group[g] = std::max(of_group[g], problem_.graph.ops[i].expert);
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
  void Single(Member& member) const {
    bool first = true;
    std::set<std::pair<int64_t, double>> seen;
    for (int32_t d = 0; d < problem_.cluster.size(); ++d) {
      const Device& device = problem_.cluster.devices[d];
      const bool known = !seen.insert({device.memory, device.speed}).second;
      if (known && problem_.ops.work_on.empty()) continue;
      Evaluated result =
          Evaluate(problem_, FromGroups(std::vector<int32_t>(problem_.ops.groups, d)));
      if (first || std::tuple(result.excess, result.schedule.makespan) <
                       std::tuple(member.result.excess, member.result.schedule.makespan)) {
        member.result = std::move(result);
      }
      first = false;
    }
  }

  std::vector<int32_t> FromGroups(const std::vector<int32_t>& of_group) const {
    std::vector<int32_t> device(problem_.ops.size());
    for (int32_t i = 0; i < problem_.ops.size(); ++i) {
      const int32_t g = problem_.ops.group[i];
      device[i] = problem_.group_pin[g] >= 0 ? problem_.group_pin[g] : of_group[g];
    }
    return device;
  }

  struct GroupFacts {
    std::vector<int64_t> resident;
    std::vector<int32_t> pin;
  };
  GroupFacts FactsOf(const TaskGraph& tasks) const {
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
  void RestorePins(std::vector<int32_t>& device) const {
    for (int32_t i = 0; i < problem_.ops.size(); ++i) {
      const int32_t pin = problem_.group_pin[problem_.ops.group[i]];
      if (pin >= 0) device[i] = pin;
    }
  }

  // Plans, and while that overruns a device's memory plans again with a smaller limit there.
  void PlanTasks(const Recipe& recipe, Member& member) const {
    const TaskGraph& tasks = cache_.Get(recipe);
    const GroupFacts facts = FactsOf(tasks);
    const double begin = Now();
    if (recipe.algorithm == Algorithm::kMSct) FindFavourites(tasks, member);
    Cluster limited = problem_.cluster;
    bool first = true;
    member.placed = false;
    for (int attempt = 0; attempt < kMemoryTries; ++attempt) {
      const Schedule plan = Plan(recipe, tasks, limited, facts, member);
      if (first) member.plan_seconds = Now() - begin;
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

  Schedule Plan(const Recipe& recipe, const TaskGraph& tasks, const Cluster& cluster,
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
      case Algorithm::kMemorySplit:
        return MemorySplit(tasks, facts);
      default: {
        ListOptions list{.memory = options_.memory_model,
                         .published = compat,
                         .group_resident = facts.resident,
                         .favourite = member.favourite,
                         .group_device = facts.pin};
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

  Schedule Adjusted(const TaskGraph& tasks, const Cluster& cluster, Schedule plan) const {
    if (options_.adjust == Adjust::kNone || !plan.complete()) return plan;
    if (AdjustGroups(tasks, cluster, options_.adjust, options_.adjust_with_limit, plan.device) >= 0)
      plan.placed = 0;
    plan.start.clear();  // no longer those of this placement
    return plan;
  }

  // Groups in topological order, cut where the equal share of what must be held is reached.
  Schedule MemorySplit(const TaskGraph& tasks, const GroupFacts& facts) const {
    Schedule plan;
    plan.device.assign(tasks.size(), -1);
    plan.placed = tasks.size();
    std::vector<int64_t> weight(tasks.groups, 0);
    int64_t total = 0;
    double room = 0;
    for (int32_t i = 0; i < tasks.size(); ++i) weight[tasks.group[i]] += tasks.out[i];
    for (int32_t g = 0; g < tasks.groups; ++g) total += weight[g] += facts.resident[g];
    std::vector<double> share;
    for (const Device& device : problem_.cluster.devices)
      share.push_back(room +=
                      static_cast<double>(std::min(device.memory, problem_.sizes.Everything())));
    int64_t sum = 0;
    std::vector<int32_t> of_group(tasks.groups, -1);
    int32_t d = 0;
    for (int32_t i : TopologicalTasks(tasks)) {
      int32_t& device = of_group[tasks.group[i]];
      if (device < 0) {
        const double middle =
            static_cast<double>(sum) + static_cast<double>(weight[tasks.group[i]]) / 2;
        while (d + 1 < problem_.cluster.size() &&
               middle * room > share[d] * static_cast<double>(total))
          ++d;
        device = facts.pin[tasks.group[i]] >= 0 ? facts.pin[tasks.group[i]] : d;
        sum += weight[tasks.group[i]];
      }
      plan.device[i] = device;
    }
    return plan;
  }

  void FindFavourites(const TaskGraph& tasks, Member& member) const {
    const bool compat = options_.compat != Compat::kNone;
    const double theta = options_.sct_theta.value_or(options_.compat == Compat::kTf ? 0.1 : 0.5);
    if (options_.lp == LpSolver::kHighs && tasks.edges.size() <= kMaxLpEdges) {
      const SctLp lp = SolveSctLp(tasks, problem_.cluster, options_.lp_time_limit);
      if (lp.optimal) {
        member.lp_objective_us = lp.makespan_us;
        member.favourite =
            RoundFavourites(tasks, lp.x, theta, compat ? Rounding::kPublished : Rounding::kStrict)
                .child;
        return;
      }
    }
    member.favourite = MatchFavourites(tasks, problem_.cluster).child;
  }

  // From tasks to the operators that stand for them.
  void FavouritesOfOperators(const TaskGraph& tasks, Member& member) const {
    std::vector<int32_t> favourite(problem_.ops.size(), -1);
    for (int32_t i = 0; i < tasks.size(); ++i) {
      if (member.favourite[i] >= 0)
        favourite[tasks.Members(i)[0]] = tasks.Members(member.favourite[i])[0];
    }
    member.favourite = std::move(favourite);
  }

  void Published(const std::vector<int32_t>& device, Member& member) const {
    const TaskGraph tasks = MakeTasks(problem_.graph, problem_.ops.group, {.compat = true});
    std::vector<int32_t> of_task(tasks.size());
    for (int32_t i = 0; i < tasks.size(); ++i) of_task[i] = device[tasks.Members(i)[0]];
    member.published_makespan = SimulateFifo(tasks, problem_.cluster, of_task).makespan;
  }

  const Problem& problem_;
  const PlaceOptions& options_;
  uint64_t seed_;
  TaskCache cache_;
};

bool HasExpert(const Graph& graph) {
  return std::any_of(graph.ops.begin(), graph.ops.end(),
                     [](const Op& op) { return op.expert >= 0; });
}

std::vector<Recipe> RecipesOf(const Graph& graph, Algorithm algorithm, const PlaceOptions& options,
                              bool all_settings) {
  const Recipe plain{.algorithm = algorithm};
  if (!plain.UsesGroups()) return {plain};
  std::vector<Grouping> groupings = {Grouping::kTf, Grouping::kCoplace, Grouping::kCoplaceCapped};
  if (options.group) groupings = {*options.group};
  if (!options.group && !all_settings) groupings = {Grouping::kCoplace};
  std::vector<bool> fusions = {options.fuse};
  if (all_settings && options.fuse && graph.size() < kLargeGraph) fusions = {false, true};
  std::vector<Recipe> recipes;
  for (Grouping grouping : groupings) {
    for (bool fuse : fusions) recipes.push_back({algorithm, grouping, fuse});
  }
  return recipes;
}

std::vector<Recipe> Portfolio(const Graph& graph, const PlaceOptions& options) {
  std::vector<Recipe> recipes;
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    if (algorithm == Algorithm::kAuto || algorithm == Algorithm::kRandom ||
        algorithm == Algorithm::kRoundRobin)
      continue;
    if (algorithm == Algorithm::kExpert && !HasExpert(graph)) continue;
    for (const Recipe& recipe : RecipesOf(graph, algorithm, options, true))
      recipes.push_back(recipe);
  }
  return recipes;
}

// What is better: what fits, then what is fast.
bool Better(const Member& a, const Member& b) {
  if (a.placed != b.placed) return a.placed;
  return std::tuple(a.result.excess, a.result.schedule.makespan) <
         std::tuple(b.result.excess, b.result.schedule.makespan);
}

std::vector<Member> RunRecipes(Planner& planner, const std::vector<Recipe>& recipes, int threads,
                               const std::function<void(std::string_view)>& progress) {
  for (const Recipe& recipe : recipes) planner.Prepare(recipe);
  std::vector<Member> members(recipes.size());
  ThreadPool(std::max(1, threads)).ForEach(static_cast<int64_t>(recipes.size()), [&](int64_t k) {
    members[k] = planner.Run(recipes[k]);
  });
  if (progress) progress(fmt::format("{} placements tried", members.size()));
  return members;
}

// All placements of a graph with few groups; false when there are too many.
bool ExhaustiveMember(const Problem& problem, std::vector<Member>& members) {
  const int64_t affordable = kMaxExhaustive * 1000 / problem.ops.size();
  if (!CountPlacements(problem, std::min(kMaxExhaustive, affordable))) return false;
  const double begin = Now();
  Member member;
  member.name = "exhaustive";
  member.algorithm = Algorithm::kAuto;
  member.result = TryAll(problem);
  CountBytes(problem, member);
  member.seconds = Now() - begin;
  members.push_back(std::move(member));
  return true;
}

// Anneals from the three best and a single device; adds the result as a member.
void RefineMembers(const Problem& problem, const PlaceOptions& options, int threads, uint64_t seed,
                   std::vector<Member>& members,
                   const std::function<void(std::string_view)>& progress) {
  if (options.refine_steps == 0 && options.time_limit <= 0) return;
  std::vector<const Member*> order;
  for (const Member& member : members) {
    if (member.placed) order.push_back(&member);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Member* a, const Member* b) { return Better(*a, *b); });
  std::vector<std::vector<int32_t>> starts;
  const auto add = [&](const Member& member) {
    const std::vector<int32_t>& device = member.result.schedule.device;
    if (std::find(starts.begin(), starts.end(), device) == starts.end()) starts.push_back(device);
  };
  for (const Member* member : order) {
    if (starts.size() < 3) add(*member);
  }
  for (const Member* member : order) {
    if (member->algorithm == Algorithm::kSingle) add(*member);
  }
  if (starts.empty()) return;
  const double begin = Now();
  RefineOptions refine{.seed = seed, .threads = threads};
  refine.seconds = options.time_limit;
  refine.steps = options.time_limit > 0 ? 0 : options.refine_steps;
  const StopSignals stop;
  Member refined;
  refined.name = "refined";
  refined.algorithm = Algorithm::kAuto;
  Time known = order.front()->usable() ? order.front()->result.schedule.makespan : kNever;
  const auto tell = [&](Time best) {  // one call at a time
    if (best >= known) return;
    known = best;
    if (progress) progress("best " + FormatDuration(ToSeconds(best)));
  };
  refined.result = Evaluate(problem, Refine(problem, starts, refine, tell));
  CountBytes(problem, refined);
  refined.seconds = Now() - begin;
  members.push_back(std::move(refined));
}

// ---- nothing fits
// -------------------------------------------------------------------------------------

std::string Limit(int64_t bytes) {
  return bytes == INT64_MAX ? "no limit" : FormatBytes(static_cast<uint64_t>(bytes));
}

// The first group that no device can hold whatever else is there; empty when there is none.
std::string GroupTooLarge(const Problem& problem) {
  const std::vector<std::string> names = GroupNames(problem.graph, problem.ops.group);
  std::vector<int64_t> need(problem.ops.groups, 0), largest(problem.ops.groups, 0);
  std::vector<int64_t> running = problem.sizes.temp;  // scratch and what is not kept of the outputs
  for (const MemorySizes::Buffer& buffer : problem.sizes.buffers) {
    if (!buffer.saved) running[buffer.op] += buffer.bytes;
  }
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    need[problem.ops.group[i]] += problem.resident[i];
    int64_t& most = largest[problem.ops.group[i]];
    most = std::max(most, running[i]);
  }
  int64_t most_memory = 0;
  for (const Device& device : problem.cluster.devices)
    most_memory = std::max(most_memory, device.memory);
  for (int32_t g = 0; g < problem.ops.groups; ++g) {
    if (need[g] + largest[g] > most_memory) {
      return fmt::format(
          "the group of '{}' needs {}, the largest device has {}", io::Printable(names[g], 60),
          FormatBytes(static_cast<uint64_t>(need[g] + largest[g])), Limit(most_memory));
    }
  }
  return "";
}

[[noreturn]] void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members) {
  const Member* closest = nullptr;
  int64_t smallest = INT64_MAX;
  for (const Member& member : members) {
    if (!member.placed) continue;
    if (!closest || Better(member, *closest)) closest = &member;
    if (!member.limit_free) continue;
    const auto& peak = member.result.memory.peak;
    smallest = std::min(smallest, *std::max_element(peak.begin(), peak.end()));
  }
  std::string what = "no placement fits the devices' memory";
  const std::string group = GroupTooLarge(problem);
  if (!group.empty()) what += ": " + group;
  if (closest) {
    std::string devices;
    for (int32_t d = 0; d < problem.cluster.size(); ++d) {
      const int64_t peak = closest->result.memory.peak[d];
      const Device& device = problem.cluster.devices[d];
      if (peak <= device.memory) continue;
      devices += fmt::format("{}{} needs {} of {}", devices.empty() ? "" : ", ",
                             io::Printable(device.name, 40),
                             FormatBytes(static_cast<uint64_t>(peak)), Limit(device.memory));
    }
    what += fmt::format("; the closest ({}): {}", closest->name, devices);
  }
  std::string remedy = "more devices or memory";
  if (smallest < INT64_MAX) {
    remedy = fmt::format("the smallest equal limit that surely works is {} ({} bytes)",
                         FormatBytes(static_cast<uint64_t>(smallest)), smallest);
  }
  throw ImpossibleError(what, "", remedy);
}

// Keeps of a member that is not the best what tables show.
void DropSchedule(Member& member) {
  Schedule& schedule = member.result.schedule;
  schedule.start = {};
  schedule.end = {};
  schedule.order = {};
  schedule.transfers = {};
  schedule.device = {};
  member.favourite = {};
}

}  // namespace

std::vector<int32_t> MustShare(const Graph& graph, const PlaceOptions& options) {
  const bool none = options.group && *options.group == Grouping::kNone;
  return GroupOperators(graph, none ? Grouping::kNone : Grouping::kTf);
}

std::vector<int32_t> ParsePins(const Graph& graph, const Cluster& cluster,
                               const std::vector<std::string>& pins) {
  if (pins.empty()) return {};
  std::map<std::string, int32_t> op, device;
  for (int32_t i = 0; i < graph.size(); ++i) op[graph.ops[i].name] = i;
  for (int32_t d = 0; d < cluster.size(); ++d) {
    device[std::to_string(d)] = d;
    device[cluster.devices[d].name] = d;
  }
  std::vector<int32_t> result(graph.size(), -1);
  for (const std::string& pin : pins) {
    const size_t equals = pin.rfind('=');
    if (equals == std::string::npos)
      throw UsageError(io::Quoted(pin) + " is not name=device", "--pin");
    const auto i = op.find(pin.substr(0, equals));
    if (i == op.end())
      throw UsageError("no operator " + io::Quoted(pin.substr(0, equals)), "--pin");
    const auto d = device.find(pin.substr(equals + 1));
    if (d == device.end())
      throw UsageError("no device " + io::Quoted(pin.substr(equals + 1)), "--pin");
    result[i->second] = d->second;
  }
  return result;
}

PlaceResult Place(const Graph& graph, const Cluster& given, const PlaceOptions& options,
                  int threads, uint64_t seed,
                  const std::function<void(std::string_view)>& progress) {
  const double begin = Now();
  Cluster cluster = given;
  cluster.whole_microseconds = options.compat == Compat::kTf;
  const MemoryOptions memory{options.mode, options.optimizer, options.allocator_rounding};
  const Problem problem(graph, cluster, memory, MustShare(graph, options),
                        ParsePins(graph, cluster, options.pin));
  Planner planner(problem, options, seed);
  const bool portfolio = options.algo == Algorithm::kAuto;
  if (options.algo == Algorithm::kExpert && !HasExpert(graph))
    throw UsageError("the graph states no expert placement", "--algo expert");
  PlaceResult result;
  result.members = RunRecipes(
      planner,
      portfolio ? Portfolio(graph, options) : RecipesOf(graph, options.algo, options, false),
      threads, progress);
  if (portfolio && !ExhaustiveMember(problem, result.members))
    RefineMembers(problem, options, threads, seed, result.members, progress);
  result.interrupted = StopRequested();
  size_t best = 0;
  for (size_t k = 1; k < result.members.size(); ++k) {
    if (Better(result.members[k], result.members[best])) best = k;
  }
  if (!result.members[best].usable()) ThrowInfeasible(problem, result.members);
  result.best = result.members[best];
  for (Member& member : result.members) DropSchedule(member);
  result.bound = ComputeLowerBound(problem.ops, problem.cluster);
  result.regime = FindSctRegime(problem.ops, problem.cluster);
  result.seconds = Now() - begin;
  return result;
}

std::vector<Member> RunAll(const Problem& problem, const PlaceOptions& options, int threads,
                           uint64_t seed) {
  std::vector<Recipe> recipes;
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    if (algorithm == Algorithm::kAuto) continue;
    if (algorithm == Algorithm::kExpert && !HasExpert(problem.graph)) continue;
    for (const Recipe& recipe : RecipesOf(problem.graph, algorithm, options, true))
      recipes.push_back(recipe);
  }
  Planner planner(problem, options, seed);
  std::vector<Member> all = RunRecipes(planner, recipes, threads, {}), best;
  for (Member& member : all) {
    if (best.empty() || best.back().algorithm != member.algorithm) {
      best.push_back(std::move(member));
    } else if (Better(member, best.back())) {
      best.back() = std::move(member);
    }
  }
  return best;
}

}  // namespace orchard::place
