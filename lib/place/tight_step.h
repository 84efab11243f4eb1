// One placement of a training step made to fit: by computing outputs again, and by parameters on
// the host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "place/microbatches.h"
#include "place/options.h"
#include "place/recompute.h"

namespace orchard::place {

// Whether the options allow either.
bool MayTighten(const PlaceOptions& options);

// What is worth trying to fit: few, as each takes many simulations.
std::vector<StepCandidate> FewOf(const std::vector<StepCandidate>& candidates);

class TightStep {
 public:
  // A member that fits, and the step that it is of.
  using Found = std::function<void(Member, const std::shared_ptr<const Graph>&)>;

  // `single` is the step with one micro-batch; the limits are those of `cluster`. The candidate has
  // no rank: passes of recomputed operators have no place in it. All must outlive this.
  TightStep(const Problem& single, const StepCandidate& candidate, int32_t count,
            const PlaceOptions& options, const Cluster& cluster)
      : single_(single),
        candidate_(candidate),
        count_(count),
        options_(options),
        cluster_(cluster) {}

  // As it is; before Fit().
  Member Plain() { return Run({}); }

  // `found` gets all that fit, where `plain` does not. With `fast` the first one ends it.
  void Fit(const Member& plain, bool fast, const Found& found);

 private:
  bool Done() const { return fast_ && any_; }
  void Report(Member member);
  void MoveToHost(const Member& member);
  Member Run(const RecomputeSegments& segments);

  const Problem& single_;
  const StepCandidate& candidate_;
  int32_t count_;
  const PlaceOptions& options_;
  const Cluster& cluster_;
  const double from_ = SecondsNow();
  std::shared_ptr<const Graph> step_;  // the last that was run
  bool fast_ = false, any_ = false;
  const Found* found_ = nullptr;
};

}  // namespace orchard::place
