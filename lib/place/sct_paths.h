// m-SCT's favourite-child programme for graphs beyond the reach of a simplex method, as a game
// between fractional matchings and paths.
//
// With y = 1 - x the programme is min over y in the matching polytope of the longest path, where an
// edge takes c (1 - y). Starts have no variables of their own: the longest path is computed, not
// constrained. It is smoothed to mu log sum over paths of exp(length / mu) (Nesterov, 2005), whose
// gradient is the cost of each edge times a flow of one unit from the sources to the sinks; y makes
// entropic mirror steps and is scaled back where the edges of a task sum to more than one. The
// averages of y and of the flow close in on the programme from both sides: the longest path of a
// feasible y is above its value, and a flow with prices u + v >= flow c on all edges proves that no
// y is below the flow's length minus the sum of prices. The logarithms of the scalings, averaged,
// are such prices, nearly.
#pragma once

#include <cstdint>

#include "place/sct.h"

namespace orchard::place {

struct SctPathsOptions {
  double time_limit_seconds = 60;
  double gap = 0.02;  // of the makespan of x over the bound
  int64_t max_iterations = INT64_MAX;
};

struct SctPaths {
  SctLp lp;  // x always there and within all constraints; `optimal`: the gap was reached
  int64_t iterations = 0;
};

// x is never worse than that of the matching (MatchFavourites). Ends with the gap or a limit; where
// the gap ends it, the result is the same on every run. One thread; O(edges) time for an iteration,
// some 100 bytes for an edge.
SctPaths SolveSctPaths(const TaskGraph& tasks, const Cluster& cluster,
                       const SctPathsOptions& options);

}  // namespace orchard::place
