// The arrays of PdlpArgs, the same wherever the iteration runs.
#pragma once

#include <vector>

#include "place/pdlp.h"
#include "place/pdlp_solver.h"

namespace orchard::place {

// `constant` gives the address of an array that is only read, `state` that of a copy to work on;
// both take a std::vector. All of `args` but control and facts is filled in. `z` and `y` are
// scaled.
template <class Constant, class State>
void SetPdlpArrays(const ScaledProgramme& scaled, const std::vector<double>& z,
                   const std::vector<double>& y, const Constant& constant, const State& state,
                   PdlpArgs& args) {
  const LinearProgramme& lp = scaled.programme;
  args.rows = lp.rows.size();
  args.columns = lp.columns();
  args.row_begin = constant(lp.rows.begin);
  args.row_index = constant(lp.rows.index);
  args.row_value = constant(lp.rows.value);
  args.column_begin = constant(scaled.columns.begin);
  args.column_index = constant(scaled.columns.index);
  args.column_value = constant(scaled.columns.value);
  args.cost = constant(lp.cost);
  args.lower = constant(lp.lower);
  args.upper = constant(lp.upper);
  args.rhs = constant(lp.rhs);
  args.row_scale = constant(scaled.row_scale);
  args.column_scale = constant(scaled.column_scale);
  const std::vector<double> no_columns(z.size(), 0), no_rows(y.size(), 0);
  for (int k = 0; k < 2; ++k) {
    args.z[k] = state(z);
    args.y[k] = state(y);
    args.az[k] = state(no_rows);
  }
  args.z_sum = state(no_columns);
  args.y_sum = state(no_rows);
  args.z_average = state(no_columns);
  args.y_average = state(no_rows);
  args.az_measured = state(no_rows);
  args.z_restart = state(z);
  args.y_restart = state(y);
  args.partial =
      state(std::vector<double>(3 * (PdlpChunks(args.rows) + PdlpChunks(args.columns)), 0));
}

}  // namespace orchard::place
