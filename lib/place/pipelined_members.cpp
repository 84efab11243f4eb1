#include "place/pipelined_members.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "place/microbatches.h"
#include "place/place_training.h"

namespace orchard::place {
namespace {

LowerBound BoundOf(const Problem& problem) {
  return ComputeLowerBound(problem.ops, problem.cluster, problem.sizes.Resident());
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
  if (alone) result.bound = BoundOf(single);
  for (const Problem& problem : several) {
    const LowerBound bound = BoundOf(problem);
    if ((!alone && &problem == &several.front()) || bound.value() < result.bound.value())
      result.bound = bound;
  }
  result.members = RunAll(single, options, context, kept, [&](Member member) {
    if (!member.placed || several.empty()) return member;
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
    return member;
  });
  return result;
}

}  // namespace orchard::place
