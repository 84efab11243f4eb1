#include "place/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "base/error.h"
#include "base/number_format.h"
#include "base/signals.h"
#include "base/thread_pool.h"
#include "io/printable.h"
#include "place/exact_search.h"
#include "place/exhaustive.h"
#include "place/infeasible.h"
#include "place/limits.h"
#include "place/offload.h"
#include "place/planner.h"
#include "place/recipe.h"
#include "place/refine_file.h"
#include "place/refine_members.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

constexpr uint64_t kRandomSeeds = 20;      // whose mean stands for a random placement
constexpr int64_t kMaxExactNodes = 20000;  // of branch and bound that auto spends on small graphs
constexpr int64_t kMaxExhaustive = 4000;   // placements that auto tries one by one before annealing

std::vector<Member> RunRecipes(Planner& planner, const std::vector<Recipe>& recipes, int threads,
                               const PlaceProgress& progress = {},
                               const FinishMember& finish = {}) {
  for (const Recipe& recipe : recipes) planner.Prepare(recipe);
  std::vector<Member> members(recipes.size());
  ThreadPool(std::max(1, threads)).ForEach(static_cast<int64_t>(recipes.size()), [&](int64_t k) {
    members[k] = planner.Run(recipes[k]);
    if (finish) members[k] = finish(std::move(members[k]));
  });
  if (progress) progress(fmt::format("{} placements tried", members.size()), 0);
  return members;
}

// All placements of a graph with few groups; false when there are too many.
bool ExhaustiveMember(const Problem& problem, std::vector<Member>& members) {
  const int64_t affordable = kMaxExhaustive * 1000 / problem.ops.size();
  if (!CountPlacements(problem, std::min(kMaxExhaustive, affordable))) return false;
  const double begin = SecondsNow();
  Member member;
  member.name = "exhaustive";
  member.algorithm = Algorithm::kAuto;
  member.result = TryAll(problem);
  CountBytes(problem, member);
  member.seconds = SecondsNow() - begin;
  members.push_back(std::move(member));
  return true;
}

// Searches the orders of a small graph, too: a better member, or a bound. Nodes, not time, limit
// it.
void ExactMember(const Problem& problem, std::vector<Member>& members, LowerBound& bound) {
  const double begin = SecondsNow();
  Time incumbent = kNever;
  for (const Member& member : members) {
    if (member.usable()) incumbent = std::min(incumbent, member.result.schedule.makespan);
  }
  SearchBudget budget{.nodes = kMaxExactNodes};
  ExactResult found = SearchPlacements(problem, incumbent, budget);
  if (found.finished && found.bound < kNever) bound.exact = found.bound;
  if (!found.best) return;
  Member member;
  member.name = "branch and bound";
  member.algorithm = Algorithm::kAuto;
  member.result = std::move(*found.best);
  CountBytes(problem, member);
  member.seconds = SecondsNow() - begin;
  members.push_back(std::move(member));
}

// Members that fit with parameters on the host.
void AddOffloaded(const Problem& problem, PlaceResult& result) {
  std::vector<Member> made;
  const Member* best = result.best.usable() ? &result.best : nullptr;
  for (const Member* base : WorthOffloading(result.members, best)) {
    if (auto member = Offloaded(problem, *base)) made.push_back(std::move(*member));
  }
  for (Member& member : made) {
    if (Better(member, result.best)) result.best = member;
    result.members.push_back(std::move(member));
  }
  if (problem.memory_can_bind) result.bound = BoundWithHost(problem);
}

// Whether parameters on the host could help, and the options leave them out.
bool MayAskForHost(const Problem& problem, const PlaceOptions& options) {
  const std::vector<int64_t>& perm = problem.sizes.perm;
  return options.offload == Offload::kOff && options.mode == Mode::kInfer &&
         std::any_of(perm.begin(), perm.end(), [](int64_t bytes) { return bytes > 0; });
}

// Keeps of a member that is not the best what tables show.
void DropSchedule(Member& member) {
  Schedule& schedule = member.result.schedule;
  schedule.start = {};
  schedule.end = {};
  schedule.order = {};
  schedule.transfers = {};
  schedule.device = {};
  schedule.fetches = {};
  schedule.write_backs = {};
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
  if (graph.step) return LiftToStep(*graph.step, ParsePins(graph.step->forward, cluster, pins));
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

PlaceResult Search(const Problem& problem, const PlaceOptions& options,
                   const SearchContext& context) {
  const double begin = SecondsNow();
  const Graph& graph = problem.graph;
  Planner planner(problem, options, context.seed);
  const bool portfolio = options.algo == Algorithm::kAuto;
  if (options.algo == Algorithm::kExpert && !HasExpert(graph))
    throw UsageError("the graph states no expert placement", "--algo expert");
  PlaceResult result;
  result.members = RunRecipes(
      planner,
      portfolio ? Portfolio(graph, options) : RecipesOf(graph, options.algo, options, false),
      context.threads, context.progress);
  result.bound = ComputeLowerBound(problem.ops, problem.cluster, problem.sizes.Resident());
  if (portfolio && ExhaustiveMember(problem, result.members)) {
    ExactMember(problem, result.members, result.bound);
  } else if (portfolio) {
    const StopSignals stop;
    AddRefined(problem, options, context, result.members);
  }
  result.interrupted = StopRequested();
  size_t best = 0;
  for (size_t k = 1; k < result.members.size(); ++k) {
    if (Better(result.members[k], result.members[best])) best = k;
  }
  result.best = result.members[best];
  result.seconds = SecondsNow() - begin;
  return result;
}

PlaceResult SearchWithHost(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context) {
  CheckOffload(options);
  PlaceResult result = Search(problem, options, context);
  if (options.offload == Offload::kAuto) AddOffloaded(problem, result);
  return result;
}

void Conclude(const Problem& problem, PlaceResult& result) {
  if (!result.best.usable()) ThrowInfeasible(problem, result.members);
  for (Member& member : result.members) DropSchedule(member);
  result.regime = FindSctRegime(problem.ops, problem.cluster);
}

PlaceResult Place(const Graph& graph, const Cluster& given, const PlaceOptions& options,
                  const SearchContext& context) {
  Cluster cluster = given;
  cluster.whole_microseconds = options.compat == Compat::kTf;
  const MemoryOptions memory{options.mode, options.optimizer, options.allocator_rounding};
  const Problem problem(graph, cluster, memory, MustShare(graph, options),
                        ParsePins(graph, cluster, options.pin));
  PlaceResult result = SearchWithHost(problem, options, context);
  if (context.file && !result.interrupted) context.file->Remove();
  const std::optional<int64_t> works = LimitThatWorks(result.members);
  if (!result.best.usable() && works && options.compat == Compat::kNone) {
    ThrowInfeasible(problem, result.members,
                    {.smallest = SmallestQuickLimit(problem, options, context, *works),
                     .offload = options.offload == Offload::kAuto,
                     .not_asked = MayAskForHost(problem, options) ? "--offload auto" : ""});
  }
  Conclude(problem, result);
  return result;
}

namespace {

// One member whose times, peaks and traffic are the means over seeds; it fits where all do.
Member MeanMember(const std::vector<Member>& runs) {
  Member mean = runs.front();
  const bool alike = std::all_of(runs.begin(), runs.end(),
                                 [&](const Member& run) { return run.name == mean.name; });
  mean.name =
      fmt::format("{}, mean of {} seeds", alike ? mean.name : Name(mean.algorithm), runs.size());
  const auto n = static_cast<int64_t>(runs.size());
  Time makespan = 0;
  mean.sent_bytes = 0;
  mean.seconds = 0;
  mean.with_memory = -1;
  std::vector<int64_t> peak(mean.result.memory.peak.size(), 0);
  for (const Member& run : runs) {
    if (run.microbatches != mean.microbatches) mean.microbatches = 0;
    if (run.pipeline != mean.pipeline) mean.pipeline.clear();
    makespan += run.result.schedule.makespan;
    mean.sent_bytes += run.sent_bytes;
    mean.seconds += run.seconds;
    mean.result.excess = std::max(mean.result.excess, run.result.excess);
    for (size_t d = 0; d < peak.size(); ++d) peak[d] += run.result.memory.peak[d];
  }
  DropSchedule(mean);
  mean.result.schedule.makespan = makespan / n;
  mean.sent_bytes /= n;
  for (int64_t& bytes : peak) bytes /= n;
  mean.result.memory.peak = peak;
  return mean;
}

}  // namespace

std::vector<Member> RunAll(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context, const KeptMembers& kept,
                           const FinishMember& finish) {
  std::vector<Recipe> recipes;
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    if (algorithm == Algorithm::kAuto || algorithm == Algorithm::kRandom) continue;
    if (algorithm == Algorithm::kExpert && !HasExpert(problem.graph)) continue;
    for (const Recipe& recipe : RecipesOf(problem.graph, algorithm, options, true))
      recipes.push_back(recipe);
  }
  // Members by recipe; those of other shards that are not there yet stay empty.
  std::vector<std::optional<Member>> all(recipes.size());
  std::vector<Recipe> wanted;
  std::vector<size_t> index;
  for (size_t k = 0; k < recipes.size(); ++k) {
    if (const auto numbers = kept.store.Find(recipes[k].Label())) {
      all[k] = MemberOf(recipes[k].Label(), recipes[k].algorithm, *numbers);
    } else if (kept.shard.Takes(static_cast<int64_t>(k))) {
      wanted.push_back(recipes[k]);
      index.push_back(k);
    }
  }
  Planner planner(problem, options, context.seed);
  std::vector<Member> made = RunRecipes(planner, wanted, context.threads, {}, finish), best;
  for (size_t k = 0; k < made.size(); ++k) {
    kept.store.Save(wanted[k].Label(), NumbersOf(made[k]));
    all[index[k]] = std::move(made[k]);
  }
  for (std::optional<Member>& one : all) {
    if (!one) continue;
    Member& member = *one;
    if (best.empty() || best.back().algorithm != member.algorithm) {
      best.push_back(std::move(member));
    } else if (Better(member, best.back())) {
      best.back() = std::move(member);
    }
  }
  std::vector<Member> random;
  for (uint64_t k = 0; k < kRandomSeeds; ++k) {
    random.push_back(Planner(problem, options, context.seed + k).Run({Algorithm::kRandom}));
    if (finish) random.back() = finish(std::move(random.back()));
  }
  const auto at = std::find_if(best.begin(), best.end(), [](const Member& member) {
    return member.algorithm > Algorithm::kRandom;
  });
  best.insert(at, MeanMember(random));
  return best;
}

}  // namespace orchard::place
