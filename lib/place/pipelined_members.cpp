#include "place/pipelined_members.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "place/microbatches.h"
#include "place/offload.h"
#include "place/place_training.h"
#include "place/tight_step.h"

namespace orchard::place {
namespace {

// The best that comes of a placement that would be faster than `member` and does not fit.
Member Tightened(const Problem& single, const StepCandidate& placed, const PlaceOptions& options,
                 Member member) {
  StepCandidate candidate = placed;
  candidate.rank.clear();
  const bool fast = candidate.algorithm == Algorithm::kRandom;  // twenty of them make one mean
  for (int32_t count : options.training.MicrobatchCounts()) {
    TightStep tight(single, candidate, count, options, single.cluster);
    const Member plain = tight.Plain();
    const bool could_win =
        !member.usable() || plain.result.schedule.makespan < member.result.schedule.makespan;
    if (plain.usable() || !could_win) continue;
    tight.Fit(plain, fast, [&](Member found, const auto&) {
      if (!Better(found, member)) return;
      found.seconds += member.seconds;
      found.plan_seconds = member.plan_seconds;
      member = std::move(found);
    });
  }
  return member;
}

}  // namespace

Comparison CompareSteps(const Graph& forward, const Cluster& cluster, const PlaceOptions& options,
                        const SearchContext& context, const KeptMembers& kept) {
  const std::vector<int32_t> counts = options.training.MicrobatchCounts();
  const std::shared_ptr<const Graph> whole = MakeStep(forward, options, 1);
  const Problem single = StepProblem(*whole, cluster, options);
  std::vector<std::shared_ptr<const Graph>> steps;
  std::deque<Problem> several;  // a problem does not move
  for (int32_t count : counts) {
    if (count == 1) continue;
    steps.push_back(MakeStep(forward, options, count));
    several.push_back(StepProblem(*steps.back(), cluster, options));
  }
  const bool alone = counts.front() == 1;
  Comparison result;
  if (alone) result.bound = BoundFor(single, options.offload);
  for (const Problem& problem : several) {
    const LowerBound bound = BoundFor(problem, options.offload);
    if ((!alone && &problem == &several.front()) || bound.value() < result.bound.value())
      result.bound = bound;
  }
  result.members = RunAll(single, options, context, kept, [&](Member member) {
    if (!member.placed || (several.empty() && !MayTighten(options))) return member;
    const StepCandidate candidate = CandidateOf(single, member);
    const double seconds = member.seconds, plan_seconds = member.plan_seconds;
    bool first = !alone;
    for (const Problem& problem : several) {
      Member pipelined = RunPipelined(problem, {candidate}, options.training.schedule, 1).best[0];
      if (first || Better(pipelined, member)) {
        member = std::move(pipelined);
        member.seconds += seconds;
        member.plan_seconds = plan_seconds;
      }
      first = false;
    }
    return MayTighten(options) ? Tightened(single, candidate, options, std::move(member)) : member;
  });
  return result;
}

}  // namespace orchard::place
