// Every method on a training step, with the whole batch and with several micro-batches.
#pragma once

#include <vector>

#include "place/place.h"

namespace orchard::place {

struct Comparison {
  std::vector<Member> members;
  LowerBound bound;  // that none of them can beat
};

// RunAll for the training step of `forward`. Methods place the whole batch. Each placement then
// runs with each number of micro-batches and each schedule that the options name, and counts with
// the best of them; what does not fit is made to by recomputation and parameters on the host, where
// the options allow them. What a method is worth is the best of its settings. The bound is the
// smallest of all numbers'. Throws UsageError as TrainingOptions::MicrobatchCounts.
Comparison CompareSteps(const Graph& forward, const Cluster& cluster, const PlaceOptions& options,
                        const SearchContext& context = {}, const KeptMembers& kept = {});

}  // namespace orchard::place
