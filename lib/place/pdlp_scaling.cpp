#include "place/pdlp_scaling.h"

#include <algorithm>
#include <cmath>

namespace orchard::place {
namespace {

constexpr int kSweeps = 10;

double InverseRoot(double norm) { return norm > 0 ? 1 / std::sqrt(norm) : 1; }

// Divides rows and columns by the root of their norm: the largest entry, or the sum.
void Sweep(ScaledProgramme& scaled, bool largest) {
  SparseRows& rows = scaled.programme.rows;
  std::vector<double> row(rows.size(), 0), column(scaled.programme.columns(), 0);
  const auto take = [&](double& norm, double value) {
    norm = largest ? std::max(norm, value) : norm + value;
  };
  for (int32_t r = 0; r < rows.size(); ++r) {
    for (int32_t k = rows.begin[r]; k < rows.begin[r + 1]; ++k) {
      take(row[r], std::abs(rows.value[k]));
      take(column[rows.index[k]], std::abs(rows.value[k]));
    }
  }
  for (double& norm : row) norm = InverseRoot(norm);
  for (double& norm : column) norm = InverseRoot(norm);
  for (int32_t r = 0; r < rows.size(); ++r) {
    scaled.row_scale[r] *= row[r];
    for (int32_t k = rows.begin[r]; k < rows.begin[r + 1]; ++k)
      rows.value[k] *= row[r] * column[rows.index[k]];
  }
  for (size_t j = 0; j < column.size(); ++j) scaled.column_scale[j] *= column[j];
}

}  // namespace

ScaledProgramme Scale(const LinearProgramme& programme) {
  ScaledProgramme scaled{.programme = programme};
  LinearProgramme& lp = scaled.programme;
  scaled.row_scale.assign(lp.rows.size(), 1);
  scaled.column_scale.assign(lp.columns(), 1);
  for (int sweep = 0; sweep < kSweeps; ++sweep) Sweep(scaled, true);
  Sweep(scaled, false);
  for (int32_t r = 0; r < lp.rows.size(); ++r) lp.rhs[r] *= scaled.row_scale[r];
  for (int32_t j = 0; j < lp.columns(); ++j) {
    lp.cost[j] *= scaled.column_scale[j];
    lp.lower[j] /= scaled.column_scale[j];
    lp.upper[j] /= scaled.column_scale[j];
  }
  for (double value : lp.rows.value) scaled.largest = std::max(scaled.largest, std::abs(value));
  scaled.columns = Transpose(lp.rows, lp.columns());
  return scaled;
}

}  // namespace orchard::place
