#include "place/optimal.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "place/exact_search.h"
#include "place/milp.h"

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

// The portfolio's answer; nothing where it finds none, and then why.
std::optional<PlaceResult> Portfolio(const Graph& graph, const Cluster& cluster,
                                     const OptimalOptions& options, const SearchContext& context,
                                     std::string& refusal) {
  try {
    return Place(graph, cluster, options.place, context);
  } catch (const ImpossibleError& error) {
    refusal = error.what();
    return std::nullopt;
  }
}

class OptimalPlanner {
 public:
  OptimalPlanner(const Problem& problem, const OptimalOptions& options, OptimalResult& result)
      : problem_(problem), options_(options), result_(result), begin_(SecondsNow()) {}

  // Whether the search went through everything.
  bool Search(bool more_to_come) {
    const double part = more_to_come ? 0.5 : 1;
    SearchBudget budget{.nodes = INT64_MAX,
                        .deadline = begin_ + part * options_.time_limit_seconds};
    ExactResult found = SearchPlacements(problem_, Makespan(), budget);
    result_.placements = found.placements;
    if (found.best) Take("branch and bound", std::move(*found.best));
    if (found.bound < kNever) Prove(found.bound);
    return found.finished;
  }

  void Programme(int threads) {
    const double left = options_.time_limit_seconds - (SecondsNow() - begin_);
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
  const OptimalOptions& options_;
  OptimalResult& result_;
  double begin_;
  bool solved_ = false;
};

std::string Explain(const Problem& problem, const OptimalResult& result, bool searched,
                    bool solved) {
  const bool parallel = problem.cluster.comm == Comm::kParallel;
  if (searched) {
    return fmt::format(
        "optimal: branch and bound went through all placements and orders ({} placements to the "
        "end){}",
        result.placements,
        parallel ? "" : "; transfers start by the simulator's rule, others were not tried");
  }
  if (result.proven && solved)
    return "optimal to 1e-6: the integer programme is solved (links are parallel)";
  if (result.proven) return "optimal: as fast as the lower bound";
  if (!parallel) {
    return "not proven: the search ran out of time, and the integer programme is for parallel "
           "links "
           "only";
  }
  return result.binaries > 0 ? "not proven: search and integer programme ran out of time"
                             : "not proven: the search ran out of time, and the graph is too large "
                               "for the integer programme";
}

}  // namespace

OptimalResult FindOptimal(const Graph& graph, const Cluster& given, const OptimalOptions& options,
                          const SearchContext& context) {
  const double begin = SecondsNow();
  OptimalResult result;
  std::string refusal;
  if (std::optional<PlaceResult> start = Portfolio(graph, given, options, context, refusal)) {
    result.place = std::move(*start);
  }
  const Problem problem(
      graph, given, {options.place.mode, options.place.optimizer, options.place.allocator_rounding},
      MustShare(graph, options.place), ParsePins(graph, given, options.place.pin));
  OptimalPlanner planner(problem, options, result);
  const auto tell = [&](const char* note) {
    if (context.progress) context.progress(note, 0);
  };
  if (!refusal.empty()) {
    result.place.bound = ComputeLowerBound(problem.ops, problem.cluster, problem.sizes.Resident());
    result.place.regime = FindSctRegime(problem.ops, problem.cluster);
  }
  const bool parallel = problem.cluster.comm == Comm::kParallel;
  bool searched = false;
  if (planner.Makespan() > result.place.bound.value()) {
    tell("searching");
    searched = planner.Search(parallel && refusal.empty());
    if (planner.Makespan() == kNever) {
      if (!searched) throw ImpossibleError(refusal, "");
      throw ImpossibleError("no placement fits: all were tried", "", "more devices or memory");
    }
    if (!searched && parallel) {
      tell("integer programme");
      planner.Programme(context.threads);
    }
  }
  result.proven = searched || planner.solved() || planner.Makespan() <= result.place.bound.value();
  result.explanation = Explain(problem, result, searched, planner.solved());
  result.place.seconds = SecondsNow() - begin;
  return result;
}

}  // namespace orchard::place
