#include "place/limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/number_format.h"
#include "base/thread_pool.h"
#include "place/microbatches.h"
#include "place/offload.h"
#include "place/place_training.h"
#include "place/planner.h"
#include "place/recipe.h"

namespace orchard::place {
namespace {

constexpr double kQuickPrecision = 0.02, kPrecision = 0.01;

// What the fast methods make of a problem.
std::vector<Member> QuickMembers(const Problem& problem, const PlaceOptions& options,
                                 const SearchContext& context) {
  PlaceOptions quick = options;
  quick.lp = LpSolver::kNone;
  std::vector<Recipe> recipes;
  for (Algorithm algorithm : {Algorithm::kSingle, Algorithm::kMemorySplit, Algorithm::kContiguous,
                              Algorithm::kMTopoFill, Algorithm::kHeft}) {
    for (const Recipe& recipe : RecipesOf(problem.graph, algorithm, quick, true))
      recipes.push_back(recipe);
  }
  Planner planner(problem, quick, context.seed);
  for (const Recipe& recipe : recipes) planner.Prepare(recipe);
  std::vector<Member> members(recipes.size());
  ThreadPool(std::max(1, context.threads))
      .ForEach(static_cast<int64_t>(recipes.size()),
               [&](int64_t k) { members[k] = planner.Run(recipes[k]); });
  return members;
}

bool AnyUsable(const std::vector<Member>& members) {
  return std::any_of(members.begin(), members.end(),
                     [](const Member& member) { return member.usable(); });
}

bool QuickFits(const Problem& problem, const PlaceOptions& options, const SearchContext& context) {
  const std::vector<Member> members = QuickMembers(problem, options, context);
  if (AnyUsable(members)) return true;
  if (options.offload == Offload::kOff) return false;
  // Those that placing tries whatever else there is.
  for (Algorithm algorithm : {Algorithm::kSingle, Algorithm::kMemorySplit}) {
    const Member* closest = ClosestBy(members, algorithm);
    if (closest && Offloaded(problem, *closest, /*fast=*/true)) return true;
  }
  return false;
}

// The steps of a forward graph with the numbers of micro-batches that the options name, made once
// for many limits.
class Steps {
 public:
  Steps(const Graph& forward, const PlaceOptions& options)
      : options_(options), whole_(MakeStep(forward, options, 1)) {
    for (int32_t count : options.training.MicrobatchCounts())
      steps_.push_back(count == 1 ? whole_ : MakeStep(forward, options, count));
  }

  int64_t Least(const Cluster& cluster) const {
    int64_t least = INT64_MAX;
    for (const auto& step : steps_) {
      const Problem problem = StepProblem(*step, cluster, options_);
      const bool offload = options_.offload == Offload::kAuto;
      least = std::min(least, offload ? LeastOffloadedLimit(problem) : LeastLimit(problem));
    }
    return least;
  }

  bool QuickFits(const Cluster& cluster, const SearchContext& context) const {
    const Problem single = StepProblem(*whole_, cluster, options_);
    const std::vector<Member> members = QuickMembers(single, options_, context);
    std::vector<StepCandidate> candidates;  // made when the first of several is tried
    for (const auto& step : steps_) {
      if (step == whole_) {
        if (AnyUsable(members)) return true;
        continue;
      }
      if (candidates.empty()) candidates = StepCandidates(single, members, /*portfolio=*/true);
      if (AnyUsable(RunPipelined(StepProblem(*step, cluster, options_), candidates,
                                 options_.training.schedule, context.threads)
                        .best))
        return true;
    }
    return false;
  }

 private:
  const PlaceOptions& options_;
  std::shared_ptr<const Graph> whole_;
  std::vector<std::shared_ptr<const Graph>> steps_;
};

int64_t PeakOf(const Member& member) {
  const auto& peak = member.result.memory.peak;
  return *std::max_element(peak.begin(), peak.end());
}

}  // namespace

Cluster WithLimit(const Cluster& cluster, int64_t limit) {
  Cluster equal = cluster;
  for (Device& device : equal.devices) device.memory = limit;
  return equal;
}

int64_t BisectLimit(int64_t least, int64_t works, double precision,
                    const std::function<bool(int64_t)>& fits) {
  if (works <= least || fits(least)) return std::min(least, works);
  int64_t too_small = least;
  while (works - too_small > 1 &&
         static_cast<double>(works - too_small) > precision * static_cast<double>(works)) {
    const int64_t middle = too_small + (works - too_small) / 2;
    (fits(middle) ? works : too_small) = middle;
  }
  return works;
}

std::vector<int64_t> GroupNeeds(const Problem& problem) {
  std::vector<int64_t> saved(problem.ops.size(), 0);  // outputs that are kept
  std::vector<int64_t> running = problem.sizes.temp;  // scratch, and outputs that are not
  for (const MemorySizes::Buffer& buffer : problem.sizes.buffers)
    (buffer.saved ? saved : running)[buffer.op] += buffer.bytes;
  const int32_t groups = problem.ops.groups;
  std::vector<int64_t> perm(groups, 0), all_saved(groups, 0), least(groups, INT64_MAX),
      most(groups, 0);
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    const int32_t g = problem.ops.group[i];
    perm[g] += problem.sizes.perm[i];
    all_saved[g] += saved[i];
    least[g] = std::min(least[g], running[i]);
    most[g] = std::max(most[g], saved[i] + running[i]);
  }
  // While the last operator runs all kept outputs are there; while any runs, at least its own.
  std::vector<int64_t> needs(groups);
  for (int32_t g = 0; g < groups; ++g)
    needs[g] = perm[g] + std::max(all_saved[g] + least[g], most[g]);
  return needs;
}

int64_t LeastLimit(const Problem& problem) {
  const std::vector<int64_t> resident = problem.sizes.Resident();
  const int64_t all = std::accumulate(resident.begin(), resident.end(), int64_t{0});
  const std::vector<int64_t> needs = GroupNeeds(problem);
  return std::max((all + problem.cluster.size() - 1) / problem.cluster.size(),
                  *std::max_element(needs.begin(), needs.end()));
}

int64_t SmallestQuickLimit(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context, int64_t works) {
  const MemoryOptions memory{options.mode, options.optimizer, options.allocator_rounding};
  const std::vector<int32_t> share = MustShare(problem.graph, options);
  const std::vector<int32_t> pin = ParsePins(problem.graph, problem.cluster, options.pin);
  const bool offload = options.offload == Offload::kAuto;
  if (offload) {
    // Two bisections of the same limits may end 2 % apart; the host never makes it larger.
    PlaceOptions on_devices = options;
    on_devices.offload = Offload::kOff;
    works = SmallestQuickLimit(problem, on_devices, context, works);
  }
  const int64_t least = offload ? LeastOffloadedLimit(problem) : LeastLimit(problem);
  return BisectLimit(least, works, kQuickPrecision, [&](int64_t limit) {
    const Problem limited(problem.graph, WithLimit(problem.cluster, limit), memory, share, pin);
    return QuickFits(limited, options, context);
  });
}

int64_t LeastTrainingLimit(const Graph& forward, const Cluster& cluster,
                           const PlaceOptions& options) {
  return Steps(forward, options).Least(cluster);
}

int64_t SmallestTrainingLimit(const Graph& forward, const Cluster& cluster,
                              const PlaceOptions& options, const SearchContext& context,
                              int64_t works) {
  const Steps steps(forward, options);
  SearchContext quiet = context;
  quiet.progress = {};
  quiet.file = nullptr;
  const int64_t quick =
      BisectLimit(steps.Least(cluster), works, kQuickPrecision,
                  [&](int64_t limit) { return steps.QuickFits(WithLimit(cluster, limit), quiet); });
  if (quick == works) return works;
  // `auto` runs several micro-batches with the best placements of one only, which may leave out the
  // one that fits.
  const TrainingPlan plan = SearchTraining(forward, WithLimit(cluster, quick), options, quiet);
  return plan.result.best.usable() ? quick : works;
}

LimitSweep SweepLimits(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                       int count, const SearchContext& context) {
  CheckOffload(options);
  LimitSweep sweep;
  std::vector<LimitPoint> known;  // all placements that were found
  const bool training = options.training.step == Step::kTraining;
  const auto problem_at = [&](int64_t limit) {
    return Problem(graph, WithLimit(cluster, limit),
                   {options.mode, options.optimizer, options.allocator_rounding},
                   MustShare(graph, options), ParsePins(graph, cluster, options.pin));
  };
  SearchContext quiet = context;
  quiet.progress = {};
  int64_t placed = 0;
  const auto place = [&](int64_t limit) {
    std::shared_ptr<const Graph> step;
    Member best;
    if (training) {
      TrainingPlan plan = SearchTraining(graph, WithLimit(cluster, limit), options, quiet);
      best = std::move(plan.result.best);
      step = plan.step;
    } else {
      best = SearchWithHost(problem_at(limit), options, quiet).best;
    }
    const Time makespan = best.result.schedule.makespan;
    if (best.usable()) {
      known.push_back({limit, makespan, PeakOf(best), best.name, best.microbatches, best.pipeline});
      if (const HostPlan* host = best.result.schedule.host.get()) {
        known.back().on_host =
            BytesOnHost(training ? StepProblem(*step, cluster, options) : problem_at(limit), *host);
      }
    }
    ++placed;
    if (context.progress) {
      context.progress(
          fmt::format("{}: {}",
                      limit == INT64_MAX ? "no limit" : FormatBytes(static_cast<uint64_t>(limit)),
                      best.usable() ? FormatDuration(ToSeconds(makespan)) : "nothing fits"),
          placed);
    }
    return best.usable();
  };
  if (training) {
    sweep.least = LeastTrainingLimit(graph, cluster, options);
  } else {
    const Problem unlimited = problem_at(INT64_MAX);
    sweep.least =
        options.offload == Offload::kAuto ? LeastOffloadedLimit(unlimited) : LeastLimit(unlimited);
  }
  if (!place(INT64_MAX)) throw ImpossibleError("no placement fits devices without a limit", "");
  const int64_t needed = known.front().peak;  // by the fastest placement that was found
  sweep.smallest = BisectLimit(sweep.least, needed, kPrecision, place);
  if (sweep.smallest == needed) place(needed);
  const double step =
      count > 1 ? std::pow(static_cast<double>(needed) / static_cast<double>(sweep.smallest),
                           1.0 / (count - 1))
                : 1;
  for (int k = 0; k < count; ++k) {
    const auto limit =
        static_cast<int64_t>(static_cast<double>(sweep.smallest) * std::pow(step, k));
    if (!sweep.points.empty() && limit <= sweep.points.back().limit) continue;
    if (k > 0) place(limit);
    // What fits a smaller limit fits this one.
    const LimitPoint* best = nullptr;
    for (const LimitPoint& point : known) {
      if (point.peak <= limit && (!best || point.makespan < best->makespan)) best = &point;
    }
    if (!best) continue;
    sweep.points.push_back(*best);
    sweep.points.back().limit = limit;
  }
  return sweep;
}

}  // namespace orchard::place
