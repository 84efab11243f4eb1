// Instance norm and leaky ReLU over channels-last maps [batch, rows, channels].
//
// A block owns a run of rows of one image. A thread owns one vector of channels (16 bytes, or one
// channel where 16 do not fit) and walks down the rows, so that a warp reads whole lines and what a
// channel needs stays in registers. Forward: sums of x and x^2, shifted by the image's first voxel
// against cancellation; then the blocks' sums are added in double, in a fixed order; then y is
// written. Backward: the same with sums of d and d unit. No atomics: same bits in every run.
//
// Bytes per element: forward reads x twice and writes y, backward reads x and dy twice and writes
// dx; a map of up to 50 MB is read from L2 the second time.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/base/vector.cuh"
#include "cuda/segment/instance_norm_kernel.h"
#include "segment/instance_norm_element.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 512;  // of an image: what the second stage adds
constexpr int64_t kLeastRows = 64;    // of a block
constexpr const char* kName = "InstanceNorm";

int64_t RowsPerBlock(int64_t rows) {
  return std::max(kLeastRows, (rows + kMostBlocks - 1) / kMostBlocks);
}
int64_t Blocks(int64_t rows) {
  const int64_t per_block = RowsPerBlock(rows);
  return (rows + per_block - 1) / per_block;
}

// The parts of the workspace.
template <class C>
struct Workspace {
  C *first, *second;  // [batch, channels]: scale and offset, or the means of d and d unit
  C* partials;        // [batch, blocks, 2, channels]
};

template <class C>
Workspace<C> Divide(int64_t batch, int64_t channels, C* memory) {
  return {memory, memory + batch * channels, memory + 2 * batch * channels};
}

// What of [batch, rows, groups] vectors a thread owns: one group, every `step`-th row of [row,
// end).
struct Place {
  int64_t image, group, row, end;
  int step, lanes, lane_row;
  bool mine;
};

__device__ __forceinline__ Place PlaceOf(int64_t rows, int64_t groups, int64_t rows_per_block) {
  Place p;
  p.lanes = groups < kThreads ? static_cast<int>(groups) : kThreads;
  p.step = kThreads / p.lanes;
  p.lane_row = static_cast<int>(threadIdx.x) / p.lanes;
  p.image = blockIdx.y;
  p.group = static_cast<int64_t>(blockIdx.z) * kThreads + threadIdx.x % p.lanes;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block;
  p.row = first + p.lane_row;
  p.end = first + rows_per_block < rows ? first + rows_per_block : rows;
  p.mine = p.lane_row < p.step && p.group < groups;
  return p;
}

template <int N, class C>
__device__ __forceinline__ void LoadChannels(const C* from, const Place& p, C (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = from[p.group * N + i];
}

// What the backward pass knows of a thread's channels.
template <int N, class C>
struct Channels {
  C mean[N], rstd[N], weight[N], bias[N];

  template <class Args>
  __device__ __forceinline__ Channels(const Args& a, const Place& p) {
    LoadChannels<N>(a.mean + p.image * a.channels, p, mean);
    LoadChannels<N>(a.rstd + p.image * a.channels, p, rstd);
    LoadChannels<N>(a.weight, p, weight);
    LoadChannels<N>(a.bias, p, bias);
  }
};

// Adds the sums of the rows of threads to one pair a channel, in the order of the rows.
template <int N, class C>
__device__ __forceinline__ void StoreSums(const Place& p, const C (&first)[N], const C (&second)[N],
                                          int64_t channels, C* partials) {
  __shared__ C room[2][kThreads * N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    room[0][threadIdx.x * N + i] = first[i];
    room[1][threadIdx.x * N + i] = second[i];
  }
  __syncthreads();
  if (!p.mine || p.lane_row != 0) return;
  C* const out = partials + (p.image * gridDim.x + blockIdx.x) * 2 * channels;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    C a = 0, b = 0;
    for (int r = 0; r < p.step; ++r) {
      a += room[0][(r * p.lanes + threadIdx.x) * N + i];
      b += room[1][(r * p.lanes + threadIdx.x) * N + i];
    }
    out[p.group * N + i] = a;
    out[channels + p.group * N + i] = b;
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    SumKernel(InstanceNormArgs<T> a, ComputeOf<T>* partials, int64_t rows_per_block) {
  using C = ComputeOf<T>;
  const int64_t groups = a.channels / N;
  const Place p = PlaceOf(a.rows, groups, rows_per_block);
  C sum[N] = {}, squares[N] = {};
  if (p.mine) {
    C shift[N];
    LoadVector<N>(a.x, p.image * a.rows * groups + p.group, shift);
    for (int64_t r = p.row; r < p.end; r += p.step) {
      C x[N];
      LoadVector<N>(a.x, (p.image * a.rows + r) * groups + p.group, x);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C d = x[i] - shift[i];
        sum[i] += d;
        squares[i] += d * d;
      }
    }
  }
  StoreSums<N>(p, sum, squares, a.channels, partials);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    ApplyKernel(InstanceNormArgs<T> a, Workspace<ComputeOf<T>> w, int64_t rows_per_block) {
  using C = ComputeOf<T>;
  const int64_t groups = a.channels / N;
  const Place p = PlaceOf(a.rows, groups, rows_per_block);
  if (!p.mine) return;
  C scale[N], offset[N];
  LoadChannels<N>(w.first + p.image * a.channels, p, scale);
  LoadChannels<N>(w.second + p.image * a.channels, p, offset);
  for (int64_t r = p.row; r < p.end; r += p.step) {
    const int64_t at = (p.image * a.rows + r) * groups + p.group;
    C x[N], y[N];
    LoadVector<N>(a.x, at, x);
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = segment::NormActivation(x[i], scale[i], offset[i], a.slope);
    StoreVector<N>(a.y, at, y);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    GradientSumKernel(InstanceNormGradientArgs<T> a, ComputeOf<T>* partials,
                      int64_t rows_per_block) {
  using C = ComputeOf<T>;
  const int64_t groups = a.channels / N;
  const Place p = PlaceOf(a.rows, groups, rows_per_block);
  C sum[N] = {}, product[N] = {};
  if (p.mine) {
    const Channels<N, C> own(a, p);
    for (int64_t r = p.row; r < p.end; r += p.step) {
      const int64_t at = (p.image * a.rows + r) * groups + p.group;
      C x[N], dy[N];
      LoadVector<N>(a.x, at, x);
      LoadVector<N>(a.dy, at, dy);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const C unit = segment::NormUnit(x[i], own.mean[i], own.rstd[i]);
        const C d = segment::ActivationGradient(unit, own.weight[i], own.bias[i], dy[i], a.slope);
        sum[i] += d;
        product[i] += d * unit;
      }
    }
  }
  StoreSums<N>(p, sum, product, a.channels, partials);
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    GradientKernel(InstanceNormGradientArgs<T> a, Workspace<ComputeOf<T>> w,
                   int64_t rows_per_block) {
  using C = ComputeOf<T>;
  const int64_t groups = a.channels / N;
  const Place p = PlaceOf(a.rows, groups, rows_per_block);
  if (!p.mine) return;
  const Channels<N, C> own(a, p);
  C mean_d[N], mean_product[N];
  LoadChannels<N>(w.first + p.image * a.channels, p, mean_d);
  LoadChannels<N>(w.second + p.image * a.channels, p, mean_product);
  for (int64_t r = p.row; r < p.end; r += p.step) {
    const int64_t at = (p.image * a.rows + r) * groups + p.group;
    C x[N], dy[N], dx[N];
    LoadVector<N>(a.x, at, x);
    LoadVector<N>(a.dy, at, dy);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const C unit = segment::NormUnit(x[i], own.mean[i], own.rstd[i]);
      const C d = segment::ActivationGradient(unit, own.weight[i], own.bias[i], dy[i], a.slope);
      dx[i] =
          segment::NormGradient(unit, d, mean_d[i], mean_product[i], own.weight[i], own.rstd[i]);
    }
    StoreVector<N>(a.dx, at, dx);
  }
}

// Both sums of one image and 32 channels over all blocks, in double: a block of 32 x 8 threads,
// each of which adds every eighth; then the eight in order. All threads of the block call it; the
// sums are those of threadIdx.y == 0.
template <class C>
__device__ __forceinline__ void AddBlocks(const C* partials, int64_t blocks, int64_t channels,
                                          int64_t channel, double& first, double& second) {
  __shared__ double tile[2][8][33];
  double a = 0, b = 0;
  if (channel < channels) {
    for (int64_t n = threadIdx.y; n < blocks; n += 8) {
      a += static_cast<double>(partials[n * 2 * channels + channel]);
      b += static_cast<double>(partials[(n * 2 + 1) * channels + channel]);
    }
  }
  __syncthreads();  // the tile of the call before may still be read
  tile[0][threadIdx.y][threadIdx.x] = a;
  tile[1][threadIdx.y][threadIdx.x] = b;
  __syncthreads();
  first = second = 0;
  for (int y = 0; y < 8; ++y) {
    first += tile[0][y][threadIdx.x];
    second += tile[1][y][threadIdx.x];
  }
}

template <class T>
__global__ void __launch_bounds__(256)
    StatisticsKernel(InstanceNormArgs<T> a, Workspace<ComputeOf<T>> w, int64_t blocks) {
  using C = ComputeOf<T>;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x, image = blockIdx.y;
  double sum, squares;
  AddBlocks(w.partials + image * blocks * 2 * a.channels, blocks, a.channels, c, sum, squares);
  if (threadIdx.y != 0 || c >= a.channels) return;
  const double count = static_cast<double>(a.rows), shifted = sum / count;
  const double spread = squares / count - shifted * shifted, variance = spread > 0 ? spread : 0;
  const double mean = shifted + static_cast<double>(Widen(a.x[image * a.rows * a.channels + c]));
  const double rstd = 1 / sqrt(variance + static_cast<double>(a.epsilon));
  const double scale = static_cast<double>(a.weight[c]) * rstd;
  const int64_t at = image * a.channels + c;
  a.mean[at] = static_cast<C>(mean);
  a.rstd[at] = static_cast<C>(rstd);
  w.first[at] = static_cast<C>(scale);
  w.second[at] = static_cast<C>(static_cast<double>(a.bias[c]) - mean * scale);
}

template <class T>
__global__ void __launch_bounds__(256)
    MeansKernel(InstanceNormGradientArgs<T> a, Workspace<ComputeOf<T>> w, int64_t blocks) {
  using C = ComputeOf<T>;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  double dweight = 0, dbias = 0;
  for (int64_t image = 0; image < a.batch; ++image) {
    double sum, product;
    AddBlocks(w.partials + image * blocks * 2 * a.channels, blocks, a.channels, c, sum, product);
    dweight += product;
    dbias += sum;
    if (threadIdx.y != 0 || c >= a.channels) continue;
    w.first[image * a.channels + c] = static_cast<C>(sum / static_cast<double>(a.rows));
    w.second[image * a.channels + c] = static_cast<C>(product / static_cast<double>(a.rows));
  }
  if (threadIdx.y != 0 || c >= a.channels) return;
  a.dweight[c] = static_cast<C>(dweight);
  a.dbias[c] = static_cast<C>(dbias);
}

template <class Args>
void CheckSizes(const Args& a) {
  CheckArgument(a.batch > 0 && a.rows > 0 && a.channels > 0, kName, "x", "it is empty");
  CheckArgument(a.batch <= 65535, kName, "x", "more than 65535 images");
}

dim3 Grid(int64_t batch, int64_t rows, int64_t groups) {
  return {static_cast<unsigned>(Blocks(rows)), static_cast<unsigned>(batch),
          static_cast<unsigned>((groups + kThreads - 1) / kThreads)};
}

template <class T, int N>
void Forward(const InstanceNormArgs<T>& a, ComputeOf<T>* workspace, cudaStream_t stream) {
  const Workspace<ComputeOf<T>> w = Divide(a.batch, a.channels, workspace);
  const dim3 grid = Grid(a.batch, a.rows, a.channels / N);
  const int64_t per_block = RowsPerBlock(a.rows);
  SumKernel<T, N><<<grid, kThreads, 0, stream>>>(a, w.partials, per_block);
  CheckLaunch(kName, "x");
  const dim3 tiles(static_cast<unsigned>((a.channels + 31) / 32), grid.y);
  StatisticsKernel<T><<<tiles, dim3(32, 8), 0, stream>>>(a, w, grid.x);
  CheckLaunch(kName, "mean");
  ApplyKernel<T, N><<<grid, kThreads, 0, stream>>>(a, w, per_block);
  CheckLaunch(kName, "y");
}

template <class T, int N>
void Backward(const InstanceNormGradientArgs<T>& a, ComputeOf<T>* workspace, cudaStream_t stream) {
  const Workspace<ComputeOf<T>> w = Divide(a.batch, a.channels, workspace);
  const dim3 grid = Grid(a.batch, a.rows, a.channels / N);
  const int64_t per_block = RowsPerBlock(a.rows);
  GradientSumKernel<T, N><<<grid, kThreads, 0, stream>>>(a, w.partials, per_block);
  CheckLaunch(kName, "dy");
  MeansKernel<T>
      <<<static_cast<unsigned>((a.channels + 31) / 32), dim3(32, 8), 0, stream>>>(a, w, grid.x);
  CheckLaunch(kName, "dweight");
  GradientKernel<T, N><<<grid, kThreads, 0, stream>>>(a, w, per_block);
  CheckLaunch(kName, "dx");
}

}  // namespace

int64_t InstanceNormWorkspace(int64_t batch, int64_t rows, int64_t channels) {
  return 2 * batch * channels * (1 + Blocks(rows));
}

template <class T>
void InstanceNormForward(const InstanceNormArgs<T>& a, ComputeOf<T>* workspace,
                         cudaStream_t stream) {
  CheckSizes(a);
  if (CanVectorise(a.channels, sizeof(T), a.x, a.y)) {
    Forward<T, kVector<T>>(a, workspace, stream);
  } else {
    Forward<T, 1>(a, workspace, stream);
  }
}

template <class T>
void InstanceNormBackward(const InstanceNormGradientArgs<T>& a, ComputeOf<T>* workspace,
                          cudaStream_t stream) {
  CheckSizes(a);
  if (CanVectorise(a.channels, sizeof(T), a.x, a.dy, a.dx)) {
    Backward<T, kVector<T>>(a, workspace, stream);
  } else {
    Backward<T, 1>(a, workspace, stream);
  }
}

#define ORCHARD_INSTANCE_NORM(T)                                                                 \
  template void InstanceNormForward<T>(const InstanceNormArgs<T>&, ComputeOf<T>*, cudaStream_t); \
  template void InstanceNormBackward<T>(const InstanceNormGradientArgs<T>&, ComputeOf<T>*,       \
                                        cudaStream_t);
ORCHARD_INSTANCE_NORM(Float16)
ORCHARD_INSTANCE_NORM(BFloat16)
ORCHARD_INSTANCE_NORM(float)
ORCHARD_INSTANCE_NORM(double)
#undef ORCHARD_INSTANCE_NORM

}  // namespace orchard::cuda
