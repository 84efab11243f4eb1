#include "place/optimal.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "place/exact_search.h"
#include "place/milp.h"
#include "place/offload.h"
#include "place/place_training.h"

namespace orchard::place {
namespace {

Member NamedMember(const Problem& problem, const char* name, Evaluated result) {
  Member member;
  member.name = name;
  member.algorithm = Algorithm::kAuto;
  member.result = std::move(result);
  CountBytes(problem, member);
  return member;
}

// Where a proof starts: the portfolio's answer, or why it has none.
struct Start {
  std::optional<PlaceResult> place;
  std::string refusal;
};

template <class Make>
Start StartFrom(const Make& portfolio) {
  try {
    return {portfolio(), ""};
  } catch (const ImpossibleError& error) {
    return {std::nullopt, error.what()};
  }
}

class OptimalPlanner {
 public:
  OptimalPlanner(const Problem& problem, double seconds, Offload offload, OptimalResult& result)
      : problem_(problem),
        result_(result),
        seconds_(seconds),
        offload_(offload == Offload::kAuto),
        begin_(SecondsNow()) {}

  // Whether the search went through everything.
  bool Search(bool more_to_come) {
    const double part = more_to_come ? 0.5 : 1;
    SearchBudget budget{.nodes = INT64_MAX, .deadline = begin_ + part * seconds_};
    ExactResult found = SearchPlacements(problem_, Makespan(), budget, offload_);
    result_.placements = found.placements;
    if (found.best) Take("branch and bound", std::move(*found.best));
    if (found.bound < kNever) Prove(found.bound);
    return found.finished;
  }

  void Programme(int threads) {
    const double left = seconds_ - (SecondsNow() - begin_);
    MilpResult found = SolveMilp(problem_, result_.place.best.result,
                                 {.time_limit_seconds = std::max(left, 0.1), .threads = threads});
    if (!found.built) return;
    result_.binaries = found.binaries;
    Prove(std::min(found.bound, Makespan()));
    if (found.best && found.best->feasible() && found.best->schedule.makespan < Makespan())
      Take("integer programme", std::move(*found.best));
    solved_ = found.optimal;
  }

  bool solved() const { return solved_; }
  Time Makespan() const {
    return result_.place.best.usable() && !result_.place.best.result.schedule.device.empty()
               ? result_.place.best.result.schedule.makespan
               : kNever;
  }

 private:
  void Take(const char* name, Evaluated better) {
    result_.place.best = NamedMember(problem_, name, std::move(better));
  }
  void Prove(Time bound) { result_.place.bound.exact = std::max(result_.place.bound.exact, bound); }

  const Problem& problem_;
  OptimalResult& result_;
  double seconds_;
  bool offload_;
  double begin_;
  bool solved_ = false;
};

// `host`: parameters may be there.
std::string Explain(const Problem& problem, const OptimalResult& result, bool searched, bool solved,
                    bool host) {
  const bool parallel = problem.cluster.comm == Comm::kParallel;
  if (searched) {
    return fmt::format(
        "optimal: branch and bound went through all placements and orders{} ({} placements to the "
        "end){}",
        host ? ", and all parameters on the host and moments to fetch them" : "", result.placements,
        parallel ? "" : "; transfers start by the simulator's rule, others were not tried");
  }
  if (result.proven && solved)
    return "optimal to 1e-6: the integer programme is solved (links are parallel)";
  if (result.proven) return "optimal: as fast as the lower bound";
  if (host) {
    return "not proven: the search ran out of time, and the integer programme keeps all parameters "
           "on devices";
  }
  if (!parallel) {
    return "not proven: the search ran out of time, and the integer programme is for parallel "
           "links "
           "only";
  }
  return result.binaries > 0 ? "not proven: search and integer programme ran out of time"
                             : "not proven: the search ran out of time, and the graph is too large "
                               "for the integer programme";
}

// The answer for one problem. Without a placement that fits, `proven` says whether there is none.
OptimalResult Solve(const Problem& problem, Start start, double seconds, Offload offload,
                    const SearchContext& context) {
  OptimalResult result;
  const bool host = offload == Offload::kAuto && problem.memory_can_bind;
  const bool started = start.place.has_value();
  if (started) {
    result.place = std::move(*start.place);
  } else {
    result.place.bound = BoundFor(problem, offload);
    result.place.regime = FindSctRegime(problem.ops, problem.cluster);
  }
  const auto tell = [&](const char* note) {
    if (context.progress) context.progress(note, 0);
  };
  OptimalPlanner planner(problem, seconds, offload, result);
  // The programme's links are parallel, and its parameters on devices.
  const bool programme = problem.cluster.comm == Comm::kParallel && !host;
  bool searched = false;
  if (planner.Makespan() > result.place.bound.value()) {
    tell("searching");
    searched = planner.Search(programme && started);
    if (planner.Makespan() == kNever) {
      result.proven = searched;
      result.explanation = searched ? "no placement fits: all were tried" : start.refusal;
      return result;
    }
    if (!searched && programme) {
      tell("integer programme");
      planner.Programme(context.threads);
    }
  }
  result.proven = searched || planner.solved() || planner.Makespan() <= result.place.bound.value();
  result.explanation = Explain(problem, result, searched, planner.solved(), host);
  return result;
}

bool Found(const OptimalResult& result) {
  return result.place.best.usable() && !result.place.best.result.schedule.device.empty();
}

[[noreturn]] void ThrowNoneFits(bool proven, const std::string& explanation) {
  throw ImpossibleError(explanation, "", proven ? "more devices or memory" : "");
}

OptimalResult FindOptimalStep(const Graph& forward, const Cluster& cluster,
                              const OptimalOptions& options, const SearchContext& context) {
  if (options.place.training.recompute != Recompute::kOff) {
    throw UsageError("a proof does not go through what could be computed again", "--recompute",
                     "without it");
  }
  if (options.place.offload != Offload::kOff) {
    throw UsageError(
        "a proof with parameters on the host is for one pass, and not for a training step",
        "--offload", "place --step training --offload auto searches without a proof");
  }
  const std::vector<int32_t> counts = options.place.training.MicrobatchCounts();
  OptimalResult best;
  std::vector<OptimalResult::Count> of_counts;
  LowerBound bound;
  for (int32_t count : counts) {
    PlaceOptions place = options.place;
    place.training.microbatches = std::to_string(count);
    const auto step = MakeStep(forward, place, count);
    const Problem problem = StepProblem(*step, cluster, place);
    OptimalResult result = Solve(
        problem, StartFrom([&] { return PlaceTraining(forward, cluster, place, context).result; }),
        options.time_limit_seconds / static_cast<double>(counts.size()), Offload::kOff, context);
    const bool found = Found(result);
    const Time makespan = found ? result.place.best.result.schedule.makespan : kNever;
    if (!found && result.proven) result.place.bound.exact = kNever;
    if (of_counts.empty() || result.place.bound.value() < bound.value()) bound = result.place.bound;
    of_counts.push_back(
        {count, makespan, result.place.bound.value(), result.proven, result.explanation});
    const bool first = of_counts.size() == 1;
    if (!first && !(found && (!Found(best) || Better(result.place.best, best.place.best))))
      continue;
    result.step = step;
    result.place.best.microbatches = count;
    best = std::move(result);
  }
  const bool none_can = bound.value() == kNever;
  if (!Found(best)) {
    ThrowNoneFits(none_can, none_can ? "no placement fits: all were tried" : best.explanation);
  }
  best.place.bound = bound;
  best.counts = std::move(of_counts);
  const bool proven = best.place.best.result.schedule.makespan <= bound.value();
  if (best.proven && !proven)
    best.explanation = "not proven: other numbers of micro-batches could still be faster";
  best.proven = proven || (best.proven && counts.size() == 1);
  return best;
}

}  // namespace

OptimalResult FindOptimal(const Graph& graph, const Cluster& cluster, const OptimalOptions& options,
                          const SearchContext& context) {
  const double begin = SecondsNow();
  OptimalResult result;
  if (options.place.training.step == Step::kTraining) {
    result = FindOptimalStep(graph, cluster, options, context);
  } else {
    const PlaceOptions& place = options.place;
    CheckOffload(place);
    const Problem problem(graph, cluster, {place.mode, place.optimizer, place.allocator_rounding},
                          MustShare(graph, place), ParsePins(graph, cluster, place.pin));
    result = Solve(problem, StartFrom([&] { return Place(graph, cluster, place, context); }),
                   options.time_limit_seconds, place.offload, context);
    if (!Found(result)) ThrowNoneFits(result.proven, result.explanation);
  }
  result.place.seconds = SecondsNow() - begin;
  return result;
}

}  // namespace orchard::place
