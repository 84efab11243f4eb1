// Placements of a training step's forward operators, run with several micro-batches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "place/member.h"
#include "place/plan.h"
#include "place/search_context.h"
#include "place/training_options.h"
#include "place/training_step.h"

namespace orchard::place {

// A placement of the forward operators, and the order in which they ran with one micro-batch.
struct StepCandidate {
  std::string name;
  Algorithm algorithm = Algorithm::kAuto;
  bool limit_free = false;      // the same whatever the devices' memory
  bool always = false;          // made at every limit: worth trying to fit
  std::vector<int32_t> device;  // of every forward operator
  std::vector<int32_t> rank;    // as PipelineOrder takes it; empty: topological order alone
};

// What a member is with one micro-batch; it must have its schedule.
StepCandidate CandidateOf(const Problem& single, const Member& member);

// The best placements of one micro-batch, the single device, and, of a `portfolio`, splits into
// stages.
std::vector<StepCandidate> StepCandidates(const Problem& single, const std::vector<Member>& members,
                                          bool portfolio);

struct PipelinedMembers {
  std::vector<Member> best;     // of up to three candidates, the best first; at least one
  std::optional<Member> least;  // what needs least memory of those that do not depend on the limits
};

// Runs each candidate with the micro-batches of `step` in the orders that `asked` names, passes as
// with one micro-batch and in topological order. Where 1F1B has no stages it runs GPipe.
PipelinedMembers RunPipelined(const Problem& step, const std::vector<StepCandidate>& candidates,
                              Pipeline asked, int threads);

// Of each chain: fewer with more micro-batches, as a move simulates so many times as many
// operators.
int64_t PipelinedRefineSteps(const PlaceOptions& options, int32_t microbatches);

// Anneals the placements of `starts`, members of `step`, under the simulation of the step with all
// its micro-batches. With Pipeline::kAuto their order as well; otherwise the devices keep to the
// one that is asked for. The best that came of it, which need not be better than `starts`; nothing
// where nothing can be annealed. Of `options` what AddRefined takes, with PipelinedRefineSteps.
std::optional<Member> RefinePipelined(const Problem& step, const std::vector<Member>& starts,
                                      const PlaceOptions& options, const SearchContext& context);

}  // namespace orchard::place
