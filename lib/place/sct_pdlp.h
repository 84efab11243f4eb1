// m-SCT's favourite-child programme for graphs beyond the reach of a simplex method: by PDLP.
#pragma once

#include "place/pdlp_solver.h"
#include "place/sct.h"

namespace orchard::place {

struct SctPdlpOptions {
  double time_limit_seconds = 60;
  int threads = 1;
  int gpu = -1;       // index of a CUDA device, or -1
  double gap = 1e-3;  // of the makespan of the rounded-off x over the proven bound of the programme
};

struct SctPdlp {
  SctLp lp;              // x within all its constraints; its makespan is that of x, exactly
  double bound_us = 0;   // the programme's dual objective: no x has a smaller makespan
  PdlpResult iteration;  // z and y left out
};

// Chains are contracted (an edge that is the only one out of its producer and into its consumer is
// a favourite in some optimum), starts are bounded by the longest paths and the makespan of the
// matching, and the iteration begins at the matching. What it returns is brought into the matching
// polytope by shrinking 1 - x at every task, and timed by the longest path. `optimal` is false, and
// x empty, when the gap was not reached in time.
SctPdlp SolveSctPdlp(const TaskGraph& tasks, const Cluster& cluster, const SctPdlpOptions& options);

}  // namespace orchard::place
