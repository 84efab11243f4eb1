// Placement and order as one mixed-integer programme, by HiGHS.
#pragma once

#include <cstdint>
#include <optional>

#include "place/plan.h"

namespace orchard::place {

struct MilpOptions {
  double time_limit_seconds = 60;
  int threads = 1;
  int64_t max_order_rows =
      40'000;  // two a pair of unordered tasks and device; beyond, it is not built
};

struct MilpResult {
  std::optional<Evaluated> best;  // of the programme's solution: simulated; may not fit
  Time bound = 0;                 // no placement that fits is faster, to 1e-6
  int64_t binaries = 0;
  bool optimal = false;  // solved to the end; else the time ran out
  bool built = false;    // false: too large, or the links are no resource-free ones
};

// Binaries a_gd (group g on device d), y_e (edge e crosses), o_ij (i before j, for pairs that no
// path joins):
//   sum_d a_gd = 1, y_ij >= a_id - a_jd, sum_i resident_i a_id <= M_d, W >= s_i + w_i,
//   s_j >= s_i + w_i + c_ij y_ij on edges (c per pair of devices where links differ),
//   s_j >= s_i + w_i - B (3 - o_ij - a_id - a_jd) and the mirror image with 1 - o_ij,
// with B the incumbent's makespan, and the first group on device 0 where devices are alike. o is
// given where one of both is an update of a training step, which runs after all else on its device,
// and where both are, and read nothing from other groups: any order is as good then. Begins
// at `incumbent`. Parallel links only: others are resources that the programme does not know; for
// them `built` is false. What an inference holds for a moment only is left out, so its bound holds
// and its solution may not fit.
MilpResult SolveMilp(const Problem& problem, const Evaluated& incumbent,
                     const MilpOptions& options);

}  // namespace orchard::place
