// The arithmetic of PDLP's iteration, shared by cuda/place/pdlp.cu and its CPU twin. The programme
// is min c z, l <= z <= u, A z >= b; tau = eta / omega and sigma = eta omega are the steps of the
// primal and the dual (Applegate et al., 2021, which omega balances).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace orchard::place {

// Sums are taken in chunks of this many elements, the chunk by a tree, so that neither threads nor
// devices change a bit of them.
inline constexpr int kPdlpChunk = 256;
// A row or column with more entries than this is summed in 32 lanes.
inline constexpr int kPdlpShort = 32;

// What the iteration itself decides.
struct PdlpControl {
  double eta = 0, omega = 1;
  double pending = 0;   // weight with which the current point still enters the average
  double weight = 0;    // of all that the average holds
  int32_t current = 0;  // which of the two buffers is the current point
  int64_t attempts = 0, accepted = 0;
};

ORCHARD_HD double PdlpSum(const int32_t* index, const double* value, int32_t begin, int32_t end,
                          const double* x) {
  double sum = 0;
  for (int32_t k = begin; k < end; ++k) sum += value[k] * x[index[k]];
  return sum;
}

// z+ = clip(z - tau (c - A'y), l, u).
ORCHARD_HD double PdlpPrimal(double z, double reduced_cost, double tau, double lower,
                             double upper) {
  const double next = z - tau * reduced_cost;
  return next < lower ? lower : next > upper ? upper : next;
}

// y+ = max(0, y + sigma (b - A (2 z+ - z))).
ORCHARD_HD double PdlpDual(double y, double rhs, double az_next, double az, double sigma) {
  const double next = y + sigma * (rhs - (2 * az_next - az));
  return next > 0 ? next : 0;
}

// Takes or refuses the step that moved by `dz2` and `dy2` (squared) with `interaction` = dy . A dz,
// and sets the next eta: at most 0.99 of what keeps the iteration contracting. The exponents of the
// two factors are roots that every machine computes alike.
ORCHARD_HD void PdlpControlStep(PdlpControl& control, double dz2, double dy2, double interaction) {
  ++control.attempts;
  const double movement = control.omega * dz2 + dy2 / control.omega;
  const double size = interaction < 0 ? -interaction : interaction;
  const double k = static_cast<double>(control.attempts) + 1;
  const double root = sqrt(k);
  double next = control.eta * (1 + 1 / root);
  bool accept = true;
  if (size > 0) {
    const double limit = 0.99 * movement / (2 * size);
    accept = control.eta <= limit;
    const double shrunk = (1 - 1 / sqrt(root * k)) * limit;  // 1 - k^-3/4
    if (shrunk < next) next = shrunk;
  }
  control.pending = 0;
  if (accept) {
    control.pending = control.eta;
    control.weight += control.eta;
    control.current = 1 - control.current;
    ++control.accepted;
  }
  control.eta = next;
}

// What a column adds to the dual objective, and (squared, unscaled) to the dual residual: a reduced
// cost counts against the bound that it pushes to, and is a violation where there is none.
ORCHARD_HD void PdlpReducedCost(double reduced_cost, double lower, double upper,
                                double column_scale, double* bound, double* residual) {
  const double at = reduced_cost > 0 ? lower : upper;
  *bound = 0;
  *residual = 0;
  if (reduced_cost == 0) return;
  if (at - at == 0) {  // finite
    *bound = reduced_cost * at;
  } else {
    const double violation = reduced_cost / column_scale;
    *residual = violation * violation;
  }
}

}  // namespace orchard::place
