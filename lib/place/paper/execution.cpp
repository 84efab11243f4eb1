#include "place/paper/placed.h"

namespace orchard::place::paper {

std::vector<Case> ExecutionCases(const Setting&) { return {}; }

run::ExperimentResult Execution(const Setting&, const Results&) {
  run::ExperimentResult result;
  result.claim =
      "A two-tower model on two devices of this processor runs 1.5 times as fast as on one, and "
      "within 20 % of the time that was predicted.";
  result.notes.emplace_back("Not run: this build has no `baechi-place run`.");
  return result;
}

}  // namespace orchard::place::paper
