// PDLP's iteration: three kernels an attempt.
//
//   columns  A'y, projected primal step, its movement, and the point before into the average
//   rows     A z+, projected dual step, its movement and interaction, and the average
//   control  sums of the chunks; takes or refuses the step, sets the next one
//
// What the control decides stays in device memory, so that any number of attempts runs without the
// host. One thread a row (or column); where one has more than 32 entries its warp sums it in 32
// lanes. A block is a chunk of 256 elements and writes its sums; no atomics. Per attempt the
// matrix is read twice (12 bytes an entry) and 11 vectors once: bound by memory and, for programmes
// that fit the second-level cache, by the latency of the three launches.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/place/pdlp.h"

namespace orchard::cuda {
namespace {

using place::kPdlpChunk;
using place::kPdlpShort;
using place::PdlpArgs;
using place::PdlpControl;
using place::PdlpFacts;
using place::PdlpPoint;

// Sums of column chunks, then of row chunks; 3 each at most.
struct Partials {
  explicit Partials(const PdlpArgs& a)
      : column_chunks(place::PdlpChunks(a.columns)),
        row_chunks(place::PdlpChunks(a.rows)),
        columns(a.partial),
        rows(a.partial + 3 * column_chunks) {}
  int64_t column_chunks, row_chunks;
  double *columns, *rows;
};

// The sum of value[k] x[index[k]]; all lanes of a warp call it, each for its own range.
__device__ double Dot(const int32_t* index, const double* value, int32_t begin, int32_t end,
                      const double* x) {
  const bool is_long = end - begin > kPdlpShort;
  double sum = is_long ? 0 : place::PdlpSum(index, value, begin, end, x);
  const int lane = threadIdx.x % 32;
  for (unsigned left = __ballot_sync(0xFFFFFFFFu, is_long); left != 0; left &= left - 1) {
    const int owner = __ffs(left) - 1;
    const int32_t from = __shfl_sync(0xFFFFFFFFu, begin, owner);
    const int32_t to = __shfl_sync(0xFFFFFFFFu, end, owner);
    double part = 0;
#pragma unroll 8
    for (int32_t k = from + lane; k < to; k += 32) part += value[k] * x[index[k]];
    part = WarpReduce(part, Add());
    if (lane == owner) sum = part;
  }
  return sum;
}

// The block's sums to partial[k * chunks + block].
template <int K>
__device__ void WriteSums(double (&value)[K], double* partial, int64_t chunks) {
  __shared__ double scratch[32 * K];
  GroupSum<K>(value, scratch);
  if (threadIdx.x == 0) {
#pragma unroll
    for (int k = 0; k < K; ++k) partial[k * chunks + blockIdx.x] = value[k];
  }
}

__device__ int32_t Element() { return static_cast<int32_t>(blockIdx.x * kPdlpChunk + threadIdx.x); }

__global__ void __launch_bounds__(kPdlpChunk) ColumnStepKernel(PdlpArgs a, Partials partials) {
  const PdlpControl control = *a.control;
  const int32_t j = Element(), from = control.current, to = 1 - from;
  const bool inside = j < a.columns;
  const double aty = Dot(a.column_index, a.column_value, inside ? a.column_begin[j] : 0,
                         inside ? a.column_begin[j + 1] : 0, a.y[from]);
  double sum[1] = {0};
  if (inside) {
    const double z = a.z[from][j];
    const double next =
        place::PdlpPrimal(z, a.cost[j] - aty, control.eta / control.omega, a.lower[j], a.upper[j]);
    a.z_sum[j] += control.pending * z;
    a.z[to][j] = next;
    sum[0] = (next - z) * (next - z);
  }
  WriteSums<1>(sum, partials.columns, partials.column_chunks);
}

__global__ void __launch_bounds__(kPdlpChunk) RowStepKernel(PdlpArgs a, Partials partials) {
  const PdlpControl control = *a.control;
  const int32_t r = Element(), from = control.current, to = 1 - from;
  const bool inside = r < a.rows;
  const double az_next = Dot(a.row_index, a.row_value, inside ? a.row_begin[r] : 0,
                             inside ? a.row_begin[r + 1] : 0, a.z[to]);
  double sum[2] = {0, 0};
  if (inside) {
    const double y = a.y[from][r], az = a.az[from][r];
    const double next = place::PdlpDual(y, a.rhs[r], az_next, az, control.eta * control.omega);
    a.y_sum[r] += control.pending * y;
    a.y[to][r] = next;
    a.az[to][r] = az_next;
    sum[0] = (next - y) * (next - y);
    sum[1] = (next - y) * (az_next - az);
  }
  WriteSums<2>(sum, partials.rows, partials.row_chunks);
}

// One block: the sum of all chunks, in 256 lanes.
__device__ double Lane(const double* partial, int64_t chunks) {
  double sum = 0;
#pragma unroll 4
  for (int64_t c = threadIdx.x; c < chunks; c += kPdlpChunk) sum += partial[c];
  return sum;
}

__global__ void __launch_bounds__(kPdlpChunk) ControlKernel(PdlpArgs a, Partials partials) {
  __shared__ double scratch[32 * 3];
  double sum[3] = {Lane(partials.columns, partials.column_chunks),
                   Lane(partials.rows, partials.row_chunks),
                   Lane(partials.rows + partials.row_chunks, partials.row_chunks)};
  GroupSum<3>(sum, scratch);
  if (threadIdx.x == 0) place::PdlpControlStep(*a.control, sum[0], sum[1], sum[2]);
}

// The point of the last attempt into the average.
__global__ void __launch_bounds__(kPdlpChunk) FlushKernel(PdlpArgs a) {
  const PdlpControl control = *a.control;
  const int32_t i = Element();
  if (i < a.columns) a.z_sum[i] += control.pending * a.z[control.current][i];
  if (i < a.rows) a.y_sum[i] += control.pending * a.y[control.current][i];
}

__global__ void FlushedKernel(PdlpArgs a) { a.control->pending = 0; }

__global__ void __launch_bounds__(kPdlpChunk) AverageKernel(PdlpArgs a) {
  const double weight = a.control->weight;
  const int32_t i = Element();
  if (i < a.columns) a.z_average[i] = a.z_sum[i] / weight;
  if (i < a.rows) a.y_average[i] = a.y_sum[i] / weight;
}

__global__ void __launch_bounds__(kPdlpChunk)
    MeasureRowsKernel(PdlpArgs a, Partials partials, bool average) {
  const int32_t current = a.control->current, r = Element();
  const bool inside = r < a.rows;
  const double* z = average ? a.z_average : a.z[current];
  const double* y = average ? a.y_average : a.y[current];
  const double az = Dot(a.row_index, a.row_value, inside ? a.row_begin[r] : 0,
                        inside ? a.row_begin[r + 1] : 0, z);
  double sum[2] = {0, 0};
  if (inside) {
    a.az_measured[r] = az;
    const double missing = a.rhs[r] > az ? (a.rhs[r] - az) / a.row_scale[r] : 0;
    sum[0] = missing * missing;
    sum[1] = a.rhs[r] * y[r];
  }
  WriteSums<2>(sum, partials.rows, partials.row_chunks);
}

__global__ void __launch_bounds__(kPdlpChunk)
    MeasureColumnsKernel(PdlpArgs a, Partials partials, bool average) {
  const int32_t current = a.control->current, j = Element();
  const bool inside = j < a.columns;
  const double* z = average ? a.z_average : a.z[current];
  const double* y = average ? a.y_average : a.y[current];
  const double aty = Dot(a.column_index, a.column_value, inside ? a.column_begin[j] : 0,
                         inside ? a.column_begin[j + 1] : 0, y);
  double sum[3] = {0, 0, 0};
  if (inside) {
    sum[0] = a.cost[j] * z[j];
    place::PdlpReducedCost(a.cost[j] - aty, a.lower[j], a.upper[j], a.column_scale[j], &sum[1],
                           &sum[2]);
  }
  WriteSums<3>(sum, partials.columns, partials.column_chunks);
}

__global__ void __launch_bounds__(kPdlpChunk) FactsKernel(PdlpArgs a, Partials partials) {
  __shared__ double scratch[32 * 5];
  double sum[5] = {Lane(partials.rows, partials.row_chunks),
                   Lane(partials.rows + partials.row_chunks, partials.row_chunks),
                   Lane(partials.columns, partials.column_chunks),
                   Lane(partials.columns + partials.column_chunks, partials.column_chunks),
                   Lane(partials.columns + 2 * partials.column_chunks, partials.column_chunks)};
  GroupSum<5>(sum, scratch);
  if (threadIdx.x != 0) return;
  a.facts->primal_residual2 = sum[0];
  a.facts->dual_rows = sum[1];
  a.facts->primal_objective = sum[2];
  a.facts->dual_bounds = sum[3];
  a.facts->dual_residual2 = sum[4];
}

__global__ void __launch_bounds__(kPdlpChunk)
    RestartColumnsKernel(PdlpArgs a, Partials partials, bool average) {
  const int32_t current = a.control->current, j = Element();
  double sum[1] = {0};
  if (j < a.columns) {
    const double next = average ? a.z_average[j] : a.z[current][j];
    const double moved = next - a.z_restart[j];
    a.z[current][j] = a.z_restart[j] = next;
    a.z_sum[j] = 0;
    sum[0] = moved * moved;
  }
  WriteSums<1>(sum, partials.columns, partials.column_chunks);
}

__global__ void __launch_bounds__(kPdlpChunk)
    RestartRowsKernel(PdlpArgs a, Partials partials, bool average) {
  const int32_t current = a.control->current, r = Element();
  double sum[1] = {0};
  if (r < a.rows) {
    const double next = average ? a.y_average[r] : a.y[current][r];
    const double moved = next - a.y_restart[r];
    a.y[current][r] = a.y_restart[r] = next;
    a.az[current][r] = a.az_measured[r];
    a.y_sum[r] = 0;
    sum[0] = moved * moved;
  }
  WriteSums<1>(sum, partials.rows, partials.row_chunks);
}

__global__ void __launch_bounds__(kPdlpChunk) RestartedKernel(PdlpArgs a, Partials partials) {
  __shared__ double scratch[32 * 2];
  double sum[2] = {Lane(partials.columns, partials.column_chunks),
                   Lane(partials.rows, partials.row_chunks)};
  GroupSum<2>(sum, scratch);
  if (threadIdx.x != 0) return;
  a.facts->moved_z2 = sum[0];
  a.facts->moved_y2 = sum[1];
  a.control->weight = 0;
}

struct Grid {
  explicit Grid(const PdlpArgs& a)
      : columns(static_cast<unsigned>(place::PdlpChunks(a.columns))),
        rows(static_cast<unsigned>(place::PdlpChunks(a.rows))),
        both(columns > rows ? columns : rows) {}
  unsigned columns, rows, both;
};

void Check(const PdlpArgs& a, const char* kernel) {
  CheckArgument(a.rows > 0 && a.columns > 0, kernel, "the programme", "it is empty");
  CheckArgument(a.control != nullptr && a.facts != nullptr && a.partial != nullptr, kernel,
                "the programme", "a pointer is null");
}

}  // namespace

void PdlpIterate(const PdlpArgs& args, int attempts, cudaStream_t stream) {
  Check(args, "PdlpIterate");
  const Grid grid(args);
  const Partials partials(args);
  for (int k = 0; k < attempts; ++k) {
    ColumnStepKernel<<<grid.columns, kPdlpChunk, 0, stream>>>(args, partials);
    RowStepKernel<<<grid.rows, kPdlpChunk, 0, stream>>>(args, partials);
    ControlKernel<<<1, kPdlpChunk, 0, stream>>>(args, partials);
  }
  FlushKernel<<<grid.both, kPdlpChunk, 0, stream>>>(args);
  FlushedKernel<<<1, 1, 0, stream>>>(args);
  CheckLaunch("PdlpIterate", "the programme");
}

void PdlpMeasure(const PdlpArgs& args, PdlpPoint point, cudaStream_t stream) {
  Check(args, "PdlpMeasure");
  const Grid grid(args);
  const Partials partials(args);
  const bool average = point == PdlpPoint::kAverage;
  if (average) AverageKernel<<<grid.both, kPdlpChunk, 0, stream>>>(args);
  MeasureRowsKernel<<<grid.rows, kPdlpChunk, 0, stream>>>(args, partials, average);
  MeasureColumnsKernel<<<grid.columns, kPdlpChunk, 0, stream>>>(args, partials, average);
  FactsKernel<<<1, kPdlpChunk, 0, stream>>>(args, partials);
  CheckLaunch("PdlpMeasure", "the programme");
}

void PdlpRestart(const PdlpArgs& args, PdlpPoint point, cudaStream_t stream) {
  Check(args, "PdlpRestart");
  const Grid grid(args);
  const Partials partials(args);
  const bool average = point == PdlpPoint::kAverage;
  RestartColumnsKernel<<<grid.columns, kPdlpChunk, 0, stream>>>(args, partials, average);
  RestartRowsKernel<<<grid.rows, kPdlpChunk, 0, stream>>>(args, partials, average);
  RestartedKernel<<<1, kPdlpChunk, 0, stream>>>(args, partials);
  CheckLaunch("PdlpRestart", "the programme");
}

}  // namespace orchard::cuda
