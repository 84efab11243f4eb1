// m-SCT's favourite children: a linear programme (Hanen and Munier's for small communication times)
// or, beyond its reach, a matching.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/cluster.h"
#include "place/task_graph.h"

namespace orchard::place {

struct SctLp {
  std::vector<double> x;   // of each edge: 0 favourite, 1 not
  double makespan_us = 0;  // the programme's W: a lower bound only where communication is small
  double bound_us = 0;     // no x has a smaller makespan
  bool optimal = false;    // to the tolerance of the solver; HiGHS and PDLP have no x otherwise
};

// Minimises W, then the communication that is not saved (its weight is 1e-7), subject to
//   0 <= x_ij <= 1, s_i >= 0, s_i + w_i + c_ij x_ij <= s_j, s_i + w_i <= W,
//   sum over children of x_ij >= children - 1, sum over parents of x_ij >= parents - 1
// by HiGHS, on one thread. c_ij is the sum over an edge's tensors. Throws Error (internal) when the
// solver fails.
SctLp SolveSctLp(const TaskGraph& tasks, const Cluster& cluster, double time_limit_seconds);

enum class Rounding {
  kPublished,  // round(x - theta + 0.5) == 0, half to even: at theta 0.5 a tie makes two favourites
  kStrict      // x < theta - 1e-6: at most one favourite child and parent
};

struct Favourites {
  std::vector<int32_t> child;   // of each task: its favourite child, or -1
  std::vector<int32_t> parent;  // the inverse
};

// Edges in order; a later favourite edge replaces an earlier one at either end.
Favourites RoundFavourites(const TaskGraph& tasks, const std::vector<double>& x, double theta,
                           Rounding rounding);

// Without a programme: edges by decreasing cost times length of the longest path through them, each
// taken when both ends are free. Deterministic, O(E log E).
Favourites MatchFavourites(const TaskGraph& tasks, const Cluster& cluster);

}  // namespace orchard::place
