// The steps of PDLP on the CPU, and the arguments that they share with the kernels
// (cuda/place/pdlp.h). The loop around them is in place/pdlp_solver.h.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "place/pdlp_element.h"

namespace orchard::place {

enum class PdlpPoint { kCurrent, kAverage };

// What PdlpMeasure and PdlpRestart find.
struct PdlpFacts {
  double primal_residual2 = 0, dual_residual2 = 0;  // squared norms, in units of the programme
  double primal_objective = 0;
  double dual_rows = 0, dual_bounds = 0;  // their sum is the dual objective
  double moved_z2 = 0, moved_y2 = 0;      // since the restart before, squared, scaled
};

// All arrays are the caller's; the programme is scaled.
struct PdlpArgs {
  int32_t rows = 0, columns = 0;
  const int32_t *row_begin = nullptr, *row_index = nullptr;  // A by rows
  const double* row_value = nullptr;
  const int32_t *column_begin = nullptr, *column_index = nullptr;  // and by columns
  const double* column_value = nullptr;
  const double *cost = nullptr, *lower = nullptr, *upper = nullptr;  // [columns]
  const double* rhs = nullptr;                                       // [rows]
  const double *row_scale = nullptr, *column_scale = nullptr;

  double *z[2] = {}, *y[2] = {}, *az[2] = {};         // current and next; az = A z
  double *z_sum = nullptr, *y_sum = nullptr;          // of the average
  double *z_average = nullptr, *y_average = nullptr;  // written by PdlpMeasure
  double* az_measured = nullptr;                      // [rows] A z of the point measured last
  double *z_restart = nullptr, *y_restart = nullptr;  // where the last restart began
  double* partial = nullptr;                          // [3 * chunks of rows + 3 of columns]
  PdlpControl* control = nullptr;
  PdlpFacts* facts = nullptr;
};

inline int64_t PdlpChunks(int32_t elements) { return (elements + kPdlpChunk - 1) / kPdlpChunk; }

// `attempts` steps, each taken or refused; the average is up to date afterwards.
void PdlpIterate(const PdlpArgs& args, int attempts, ThreadPool& pool);

// Residuals and objectives of a point, and its A z.
void PdlpMeasure(const PdlpArgs& args, PdlpPoint point, ThreadPool& pool);

// Goes on from the point that was measured last, which must be `point`, with an empty average.
void PdlpRestart(const PdlpArgs& args, PdlpPoint point, ThreadPool& pool);

}  // namespace orchard::place
