#include "place/tight_step.h"

#include <utility>

#include "place/offload.h"
#include "place/place_training.h"

namespace orchard::place {

bool MayTighten(const PlaceOptions& options) {
  return options.training.recompute == Recompute::kAuto || options.offload == Offload::kAuto;
}

std::vector<StepCandidate> FewOf(const std::vector<StepCandidate>& candidates) {
  std::vector<StepCandidate> few;
  for (size_t c = 0; c < candidates.size(); ++c) {
    if (c < 2 || candidates[c].always || c + 1 == candidates.size()) {
      few.push_back(candidates[c]);
      few.back().rank.clear();
    }
  }
  return few;
}

void TightStep::Fit(const Member& plain, bool fast, const Found& found) {
  fast_ = fast;
  found_ = &found;
  std::vector<uint8_t> over(cluster_.size());
  for (int32_t d = 0; d < cluster_.size(); ++d)
    over[d] = plain.result.memory.peak[d] > cluster_.devices[d].memory;
  const bool offload = options_.offload == Offload::kAuto;
  const bool recompute = options_.training.recompute == Recompute::kAuto;
  if (offload) MoveToHost(plain);
  if (recompute && !Done()) {
    FitByRecomputing(single_, candidate_.device, over, [&](const RecomputeSegments& segments) {
      if (Done()) return true;
      Member member = Run(segments);
      if (!member.usable()) return false;
      Report(std::move(member));
      return true;
    });
  }
  if (!offload || !recompute) return;
  for (int32_t size = 2; size < 2 * single_.graph.step->forward.size() && !Done(); size *= 2) {
    const RecomputeSegments all = PricedSegments(single_, candidate_.device, over, size);
    if (all.empty()) continue;
    Member member = Run(all);
    if (!member.usable()) MoveToHost(member);
  }
}

void TightStep::Report(Member member) {
  any_ = true;
  (*found_)(std::move(member), step_);
}

void TightStep::MoveToHost(const Member& member) {
  const Problem problem = StepProblem(*step_, cluster_, options_);
  if (auto fitted = Offloaded(problem, member, fast_)) Report(std::move(*fitted));
}

// The step with what runs again, which stays in `step_`.
Member TightStep::Run(const RecomputeSegments& segments) {
  StepOptions how = options_.training.ForStep(options_.optimizer, count_);
  how.recompute = segments;
  step_ = std::make_shared<const Graph>(BuildTrainingStep(single_.graph.step->forward, how));
  const Problem problem = StepProblem(*step_, cluster_, options_);
  Member member{.name = candidate_.name, .algorithm = candidate_.algorithm};
  if (count_ > 1) {
    member = RunPipelined(problem, {candidate_}, options_.training.schedule, 1).best[0];
    member.limit_free = false;  // what runs again depends on the limits
  } else {
    member.result = Evaluate(problem, LiftToStep(*step_->step, candidate_.device));
    CountBytes(problem, member);
  }
  member.recomputing = !segments.empty();
  if (member.recomputing) member.name += ", recomputing";
  member.seconds = SecondsNow() - from_;
  return member;
}

}  // namespace orchard::place
