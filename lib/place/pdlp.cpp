#include "place/pdlp.h"

#include <algorithm>
#include <functional>

namespace orchard::place {
namespace {

constexpr int64_t kChunksPerTask = 32;

// The sum of the first `width` (a power of two) values, by a tree; overwrites them.
double TreeSum(double* values, int width) {
  for (int half = width / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) values[i] += values[i + half];
  }
  return values[0];
}

// As a block of 256 threads does it: the 8 warps first, then over them.
double BlockSum(double* values) {
  double of_warp[8];
  for (int w = 0; w < 8; ++w) of_warp[w] = TreeSum(values + 32 * w, 32);
  return TreeSum(of_warp, 8);
}

// Sums of the chunks to one, in 256 lanes.
double TotalSum(const double* partial, int64_t chunks) {
  double lane[kPdlpChunk] = {};
  for (int64_t c = 0; c < chunks; ++c) lane[c % kPdlpChunk] += partial[c];
  return BlockSum(lane);
}

double Dot(const int32_t* index, const double* value, int32_t begin, int32_t end, const double* x) {
  if (end - begin <= kPdlpShort) return PdlpSum(index, value, begin, end, x);
  double lane[32] = {};
  for (int32_t k = begin; k < end; ++k) lane[(k - begin) % 32] += value[k] * x[index[k]];
  return TreeSum(lane, 32);
}

// Calls element(i, sums) for all i below `count`, where sums[0 .. kSums) are what element i adds;
// the sum of every chunk goes to partial[k * chunks + chunk].
template <int kSums, class Element>
void ForChunks(int32_t count, double* partial, ThreadPool& pool, const Element& element) {
  const int64_t chunks = PdlpChunks(count);
  const std::function<void(int64_t)> task = [&](int64_t t) {
    for (int64_t c = t * kChunksPerTask; c < std::min(chunks, (t + 1) * kChunksPerTask); ++c) {
      double values[kSums][kPdlpChunk] = {};
      const auto first = static_cast<int32_t>(c * kPdlpChunk);
      const int32_t size = std::min(kPdlpChunk, count - first);
      for (int32_t i = 0; i < size; ++i) {
        double sums[kSums];
        element(first + i, sums);
        for (int k = 0; k < kSums; ++k) values[k][i] = sums[k];
      }
      for (int k = 0; k < kSums; ++k) partial[k * chunks + c] = BlockSum(values[k]);
    }
  };
  pool.ForEach((chunks + kChunksPerTask - 1) / kChunksPerTask, task);
}

struct Sums {  // where the partial sums of columns and rows lie
  explicit Sums(const PdlpArgs& a)
      : column_chunks(PdlpChunks(a.columns)),
        row_chunks(PdlpChunks(a.rows)),
        columns(a.partial),
        rows(a.partial + 3 * column_chunks) {}
  double Column(int k) const { return TotalSum(columns + k * column_chunks, column_chunks); }
  double Row(int k) const { return TotalSum(rows + k * row_chunks, row_chunks); }
  int64_t column_chunks, row_chunks;
  double *columns, *rows;
};

void Attempt(const PdlpArgs& a, const Sums& sums, ThreadPool& pool) {
  PdlpControl& control = *a.control;
  const int32_t from = control.current, to = 1 - from;
  const double tau = control.eta / control.omega, sigma = control.eta * control.omega;
  const double pending = control.pending;
  ForChunks<1>(a.columns, sums.columns, pool, [&](int32_t j, double* sum) {
    const double z = a.z[from][j];
    const double aty =
        Dot(a.column_index, a.column_value, a.column_begin[j], a.column_begin[j + 1], a.y[from]);
    const double next = PdlpPrimal(z, a.cost[j] - aty, tau, a.lower[j], a.upper[j]);
    a.z_sum[j] += pending * z;
    a.z[to][j] = next;
    sum[0] = (next - z) * (next - z);
  });
  ForChunks<2>(a.rows, sums.rows, pool, [&](int32_t r, double* sum) {
    const double y = a.y[from][r], az = a.az[from][r];
    const double az_next =
        Dot(a.row_index, a.row_value, a.row_begin[r], a.row_begin[r + 1], a.z[to]);
    const double next = PdlpDual(y, a.rhs[r], az_next, az, sigma);
    a.y_sum[r] += pending * y;
    a.y[to][r] = next;
    a.az[to][r] = az_next;
    sum[0] = (next - y) * (next - y);
    sum[1] = (next - y) * (az_next - az);
  });
  PdlpControlStep(control, sums.Column(0), sums.Row(0), sums.Row(1));
}

}  // namespace

void PdlpIterate(const PdlpArgs& a, int attempts, ThreadPool& pool) {
  const Sums sums(a);
  for (int k = 0; k < attempts; ++k) Attempt(a, sums, pool);
  PdlpControl& control = *a.control;
  for (int32_t j = 0; j < a.columns; ++j) a.z_sum[j] += control.pending * a.z[control.current][j];
  for (int32_t r = 0; r < a.rows; ++r) a.y_sum[r] += control.pending * a.y[control.current][r];
  control.pending = 0;
}

void PdlpMeasure(const PdlpArgs& a, PdlpPoint point, ThreadPool& pool) {
  const PdlpControl& control = *a.control;
  const double *z = a.z[control.current], *y = a.y[control.current];
  if (point == PdlpPoint::kAverage) {
    for (int32_t j = 0; j < a.columns; ++j) a.z_average[j] = a.z_sum[j] / control.weight;
    for (int32_t r = 0; r < a.rows; ++r) a.y_average[r] = a.y_sum[r] / control.weight;
    z = a.z_average;
    y = a.y_average;
  }
  const Sums sums(a);
  ForChunks<2>(a.rows, sums.rows, pool, [&](int32_t r, double* sum) {
    const double az = Dot(a.row_index, a.row_value, a.row_begin[r], a.row_begin[r + 1], z);
    a.az_measured[r] = az;
    const double missing = a.rhs[r] > az ? (a.rhs[r] - az) / a.row_scale[r] : 0;
    sum[0] = missing * missing;
    sum[1] = a.rhs[r] * y[r];
  });
  ForChunks<3>(a.columns, sums.columns, pool, [&](int32_t j, double* sum) {
    const double aty =
        Dot(a.column_index, a.column_value, a.column_begin[j], a.column_begin[j + 1], y);
    sum[0] = a.cost[j] * z[j];
    PdlpReducedCost(a.cost[j] - aty, a.lower[j], a.upper[j], a.column_scale[j], &sum[1], &sum[2]);
  });
  a.facts->primal_residual2 = sums.Row(0);
  a.facts->dual_rows = sums.Row(1);
  a.facts->primal_objective = sums.Column(0);
  a.facts->dual_bounds = sums.Column(1);
  a.facts->dual_residual2 = sums.Column(2);
}

void PdlpRestart(const PdlpArgs& a, PdlpPoint point, ThreadPool& pool) {
  PdlpControl& control = *a.control;
  double *z = a.z[control.current], *y = a.y[control.current], *az = a.az[control.current];
  const bool average = point == PdlpPoint::kAverage;
  const double *new_z = average ? a.z_average : z, *new_y = average ? a.y_average : y;
  const Sums sums(a);
  ForChunks<1>(a.columns, sums.columns, pool, [&](int32_t j, double* sum) {
    const double moved = new_z[j] - a.z_restart[j];
    z[j] = a.z_restart[j] = new_z[j];
    a.z_sum[j] = 0;
    sum[0] = moved * moved;
  });
  ForChunks<1>(a.rows, sums.rows, pool, [&](int32_t r, double* sum) {
    const double moved = new_y[r] - a.y_restart[r];
    y[r] = a.y_restart[r] = new_y[r];
    az[r] = a.az_measured[r];
    a.y_sum[r] = 0;
    sum[0] = moved * moved;
  });
  a.facts->moved_z2 = sums.Column(0);
  a.facts->moved_y2 = sums.Row(0);
  control.weight = 0;
}

}  // namespace orchard::place
