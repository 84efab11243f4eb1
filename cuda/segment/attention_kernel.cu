// Segmented cosine attention without the matrix of similarities.
//
// A block of 256 threads owns 32 targets (forward and dq) or 32 tokens (dk and dv) and walks over
// tiles of 32 of the other side, which it holds in shared memory; eight threads share a row. The
// forward pass takes one class after the other and skips tiles that a class does not touch. No
// exponent is positive, so the sums of a class need no running maximum; over classes the softmax is
// folded as they close. The backward pass recomputes similarities twice, once for each side, so
// that every sum has one owner: no atomics, same bits in every run.
//
// Sizes presumed: up to 128 key and 320 value channels in f32 (161 KB of shared memory). Products
// run on the ordinary units in the type of the arguments: this is the reference on the device, and
// what trains in f32; tensor cores would be several times faster in bf16.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/base/reduce.cuh"
#include "cuda/segment/attention_kernel.h"
#include "segment/attention_element.h"

namespace orchard::cuda {
namespace {

using segment::AttentionArgs;
using segment::AttentionGradientArgs;

constexpr int kTile = 32, kThreads = 256, kLanes = 8;  // rows of a tile; threads; threads of a row
constexpr int kPerLane = kTile / kLanes;
constexpr const char* kName = "CosineAttention";

// The parts of the workspace.
template <class T>
struct Workspace {
  T *q, *q_factor;        // unit queries [B, N, d] and 1 / norm [B, N]
  T *k, *k_factor;        // the same of keys
  T* area;                // M: [B, classes]
  T *along, *dsigma;      // g and the whole gradient of sigma: [B, N, classes]
  T* dlogit;              // [B, N, classes]
  T *row_tau, *row_beta;  // parts of d tau and d beta: [B, N]
};

template <class T>
Workspace<T> Divide(const AttentionArgs<T>& a, T* memory) {
  const int64_t rows = a.batch * a.targets, tokens = a.batch * a.tokens, d = a.key_channels;
  Workspace<T> w;
  const auto take = [&memory](int64_t count) {
    T* const at = memory;
    memory += count;
    return at;
  };
  w.q = take(rows * d);
  w.q_factor = take(rows);
  w.k = take(tokens * d);
  w.k_factor = take(tokens);
  w.area = take(a.batch * a.classes);
  w.along = take(rows * a.classes);
  w.dsigma = take(rows * a.classes);
  w.dlogit = take(rows * a.classes);
  w.row_tau = take(rows);
  w.row_beta = take(rows);
  return w;
}

// One warp a row: y = x / sqrt(|x|^2 + guard^2).
template <class T>
__global__ void NormaliseKernel(const T* x, int64_t rows, int64_t channels, T* y, T* factor) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  T squares = 0;
  for (int64_t c = threadIdx.x; c < channels; c += 32)
    squares += x[row * channels + c] * x[row * channels + c];
  squares = WarpReduce(squares, Add()) + static_cast<T>(segment::kNormGuard * segment::kNormGuard);
  const T scale = T(1) / sqrt(squares);
  for (int64_t c = threadIdx.x; c < channels; c += 32)
    y[row * channels + c] = x[row * channels + c] * scale;
  if (threadIdx.x == 0) factor[row] = scale;
}

template <class T>
__global__ void AreaKernel(const T* mu, int64_t tokens, T* area) {
  __shared__ T scratch[32];
  T sum[1] = {0};
  for (int64_t j = threadIdx.x; j < tokens; j += blockDim.x) sum[0] += mu[blockIdx.x * tokens + j];
  GroupSum(sum, scratch);
  if (threadIdx.x == 0) area[blockIdx.x] = sum[0];
}

// Copies rows [first, first + kTile) of [rows, channels] to shared memory, zeros beyond the end.
template <class T>
__device__ __forceinline__ void LoadTile(const T* from, int64_t first, int64_t rows,
                                         int64_t channels, T* to, int64_t to_row) {
  for (int64_t n = threadIdx.x; n < kTile * channels; n += kThreads) {
    const int64_t r = n / channels, c = n % channels;
    to[r * to_row + c] = first + r < rows ? from[(first + r) * channels + c] : T(0);
  }
}

template <class T>
__device__ __forceinline__ T Dot(const T* a, const T* b, int64_t channels) {
  T sum = 0;
  for (int64_t c = 0; c < channels; ++c) sum = fma(a[c], b[c], sum);
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads) ForwardKernel(AttentionArgs<T> a, Workspace<T> w) {
  extern __shared__ __align__(16) unsigned char memory[];
  const int64_t d = a.key_channels, width = d + 1, c_count = a.value_channels;
  T* const q = reinterpret_cast<T*>(memory);
  T* const k = q + kTile * width;
  T* const v = k + kTile * width;
  T* const sums = v + kTile * c_count;
  T* const out = sums + kTile * c_count;
  T* const p = out + kTile * c_count;  // [kTile, kTile + 1]
  T* const mu = p + kTile * (kTile + 1);
  const int r = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int64_t image = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t place = image * a.targets + first + r;
  const bool mine = first + r < a.targets;
  LoadTile(w.q + image * a.targets * d, first, a.targets, d, q, width);
  for (int64_t n = threadIdx.x; n < kTile * c_count; n += kThreads) out[n] = T(0);
  T most = T(-1e30), total = 0;
  for (int64_t c = 0; c < a.classes; ++c) {
    const T area = w.area[image * a.classes + c];
    if (!(area > T(0))) {
      if (mine && lane == 0) a.similarity[place * a.classes + c] = T(-1);
      continue;
    }
    for (int64_t n = threadIdx.x; n < kTile * c_count; n += kThreads) sums[n] = T(0);
    T mass = 0;
    for (int64_t j0 = 0; j0 < a.tokens; j0 += kTile) {
      const T* const parts = a.mu + (image * a.classes + c) * a.tokens;
      T part = 0;
      if (threadIdx.x < kTile && j0 + threadIdx.x < a.tokens) part = parts[j0 + threadIdx.x];
      if (threadIdx.x < kTile) mu[threadIdx.x] = part;
      if (!__syncthreads_or(part > T(0))) continue;
      LoadTile(w.k + image * a.tokens * d, j0, a.tokens, d, k, width);
      LoadTile(a.v + image * a.tokens * c_count, j0, a.tokens, c_count, v, c_count);
      __syncthreads();
#pragma unroll
      for (int n = 0; n < kPerLane; ++n) {
        const int j = lane + n * kLanes;
        const T s = Dot(q + r * width, k + j * width, d);
        p[r * (kTile + 1) + j] = segment::TokenWeight<T>(mu[j], s, a.tau);
      }
      __syncthreads();
      for (int j = 0; j < kTile; ++j) mass += p[r * (kTile + 1) + j];
      for (int64_t n = lane; n < c_count; n += kLanes) {
        T sum = sums[r * c_count + n];
        for (int j = 0; j < kTile; ++j) sum = fma(p[r * (kTile + 1) + j], v[j * c_count + n], sum);
        sums[r * c_count + n] = sum;
      }
      __syncthreads();
    }
    const T sigma = segment::ClassSimilarity<T>(mass, area, a.tau);
    const T logit = a.beta * sigma + (a.prior ? a.prior[image * a.classes + c] : T(0));
    const T larger = logit > most ? logit : most;
    const T old = exp(most - larger), own = exp(logit - larger);
    most = larger;
    total = total * old + own;
    for (int64_t n = lane; n < c_count; n += kLanes) {
      const T context = sums[r * c_count + n] / mass;
      out[r * c_count + n] = out[r * c_count + n] * old + own * context;
      if (mine && a.class_context) a.class_context[(place * a.classes + c) * c_count + n] = context;
    }
    if (mine && lane == 0) {
      a.similarity[place * a.classes + c] = sigma;
      a.weight[place * a.classes + c] = logit;  // the softmax follows
      if (a.mass) a.mass[place * a.classes + c] = mass;
    }
    __syncthreads();
  }
  if (!mine) return;
  for (int64_t n = lane; n < c_count; n += kLanes)
    a.context[place * c_count + n] = total > T(0) ? out[r * c_count + n] / total : T(0);
  if (lane != 0) return;
  for (int64_t c = 0; c < a.classes; ++c) {
    const bool present = w.area[image * a.classes + c] > T(0);
    T& weight = a.weight[place * a.classes + c];
    weight = present ? exp(weight - most) / total : T(0);
    if (!present && a.mass) a.mass[place * a.classes + c] = T(0);
    if (present || !a.class_context) continue;
    for (int64_t n = 0; n < c_count; ++n)
      a.class_context[(place * a.classes + c) * c_count + n] = T(0);
  }
}

// ---- backward

// One warp a target: gradients along the class contexts and of the similarities.
template <class T>
__global__ void EnterKernel(AttentionGradientArgs<T> a, Workspace<T> w) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (row >= a.batch * a.targets) return;
  const int64_t image = row / a.targets, c_count = a.value_channels;
  T mean = 0;
  for (int64_t c = 0; c < a.classes; ++c) {
    T along = 0;
    for (int64_t n = threadIdx.x; n < c_count; n += 32)
      along +=
          a.d_context[row * c_count + n] * a.class_context[(row * a.classes + c) * c_count + n];
    along = WarpReduce(along, Add());
    mean += a.weight[row * a.classes + c] * along;
    if (threadIdx.x == 0) w.along[row * a.classes + c] = along;
  }
  if (threadIdx.x != 0) return;
  T beta = 0, tau = 0;
  for (int64_t c = 0; c < a.classes; ++c) {
    const int64_t at = row * a.classes + c;
    T dlogit = 0, dsigma = 0;
    if (w.area[image * a.classes + c] > T(0)) {
      dlogit = a.weight[at] * (w.along[at] - mean);
      dsigma = a.d_similarity[at] + a.beta * dlogit;
      beta += a.similarity[at] * dlogit;
      tau -= dsigma * a.similarity[at] / a.tau;
    }
    w.dlogit[at] = dlogit;
    w.dsigma[at] = dsigma;
  }
  w.row_beta[row] = beta;
  w.row_tau[row] = tau;
}

// ds of a pair, and w P summed over classes, from its similarity and product.
template <class T>
struct PairSums {
  T ds, weighted;
};
template <class T>
__device__ __forceinline__ PairSums<T> Pair(const AttentionGradientArgs<T>& a,
                                            const Workspace<T>& w, int64_t image, int64_t row,
                                            int64_t token, T s, T dav) {
  PairSums<T> sums = {0, 0};
  for (int64_t c = 0; c < a.classes; ++c) {
    const T mu = a.mu[(image * a.classes + c) * a.tokens + token];
    if (!(mu > T(0))) continue;
    const int64_t at = row * a.classes + c;
    const T p = segment::TokenWeight<T>(mu, s, a.tau) / a.mass[at];
    sums.ds += segment::PairGradient<T>(p, a.tau * a.weight[at], dav, w.along[at], w.dsigma[at]);
    sums.weighted += p * a.weight[at];
  }
  return sums;
}

// Sum over the eight threads of a row, in a fixed order.
template <class T>
__device__ __forceinline__ T RowSum(T value) {
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset >>= 1)
    value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  return value;
}

// dx = (dy - y (y . dy)) factor for row r of the tile, by its eight threads.
template <class T>
__device__ __forceinline__ void StoreNormalised(const T* y, const T* dy, T factor, int64_t channels,
                                                int lane, bool mine, T* dx) {
  T along = 0;
  for (int64_t n = lane; n < channels; n += kLanes) along += y[n] * dy[n];
  along = RowSum(along);
  if (!mine) return;
  for (int64_t n = lane; n < channels; n += kLanes) dx[n] = (dy[n] - y[n] * along) * factor;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    QueryGradientKernel(AttentionGradientArgs<T> a, Workspace<T> w) {
  extern __shared__ __align__(16) unsigned char memory[];
  const int64_t d = a.key_channels, width = d + 1, c_count = a.value_channels, wide = c_count + 1;
  T* const q = reinterpret_cast<T*>(memory);
  T* const k = q + kTile * width;
  T* const dq = k + kTile * width;
  T* const v = dq + kTile * width;
  T* const dcontext = v + kTile * wide;
  T* const ds = dcontext + kTile * wide;
  const int r = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int64_t image = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t row = image * a.targets + first + r;
  const bool mine = first + r < a.targets;
  LoadTile(w.q + image * a.targets * d, first, a.targets, d, q, width);
  LoadTile(a.d_context + image * a.targets * c_count, first, a.targets, c_count, dcontext, wide);
  for (int64_t n = threadIdx.x; n < kTile * width; n += kThreads) dq[n] = T(0);
  T tau = 0;
  for (int64_t j0 = 0; j0 < a.tokens; j0 += kTile) {
    __syncthreads();
    LoadTile(w.k + image * a.tokens * d, j0, a.tokens, d, k, width);
    LoadTile(a.v + image * a.tokens * c_count, j0, a.tokens, c_count, v, wide);
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kPerLane; ++n) {
      const int j = lane + n * kLanes;
      T own = 0;
      if (mine && j0 + j < a.tokens) {
        const T s = Dot(q + r * width, k + j * width, d);
        const T dav = Dot(dcontext + r * wide, v + j * wide, c_count);
        own = Pair(a, w, image, row, j0 + j, s, dav).ds;
        tau += s * own / a.tau;
      }
      ds[r * (kTile + 1) + j] = own;
    }
    __syncthreads();
    for (int64_t n = lane; n < d; n += kLanes) {
      T sum = dq[r * width + n];
      for (int j = 0; j < kTile; ++j) sum = fma(ds[r * (kTile + 1) + j], k[j * width + n], sum);
      dq[r * width + n] = sum;
    }
  }
  __syncthreads();
  tau = RowSum(tau);
  if (mine && lane == 0) w.row_tau[row] += tau;
  StoreNormalised(q + r * width, dq + r * width, mine ? w.q_factor[row] : T(0), d, lane, mine,
                  a.dq + row * d);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    TokenGradientKernel(AttentionGradientArgs<T> a, Workspace<T> w) {
  extern __shared__ __align__(16) unsigned char memory[];
  const int64_t d = a.key_channels, width = d + 1, c_count = a.value_channels, wide = c_count + 1;
  T* const k = reinterpret_cast<T*>(memory);
  T* const q = k + kTile * width;
  T* const dk = q + kTile * width;
  T* const v = dk + kTile * width;
  T* const dcontext = v + kTile * wide;
  T* const dv = dcontext + kTile * wide;
  T* const ds = dv + kTile * wide;
  T* const weighted = ds + kTile * (kTile + 1);
  const int r = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int64_t image = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t token = first + r;
  const bool mine = token < a.tokens;
  LoadTile(w.k + image * a.tokens * d, first, a.tokens, d, k, width);
  LoadTile(a.v + image * a.tokens * c_count, first, a.tokens, c_count, v, wide);
  for (int64_t n = threadIdx.x; n < kTile * width; n += kThreads) dk[n] = T(0);
  for (int64_t n = threadIdx.x; n < kTile * wide; n += kThreads) dv[n] = T(0);
  for (int64_t i0 = 0; i0 < a.targets; i0 += kTile) {
    __syncthreads();
    LoadTile(w.q + image * a.targets * d, i0, a.targets, d, q, width);
    LoadTile(a.d_context + image * a.targets * c_count, i0, a.targets, c_count, dcontext, wide);
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kPerLane; ++n) {
      const int i = lane + n * kLanes;
      PairSums<T> own = {0, 0};
      if (mine && i0 + i < a.targets) {
        const T s = Dot(q + i * width, k + r * width, d);
        const T dav = Dot(dcontext + i * wide, v + r * wide, c_count);
        own = Pair(a, w, image, image * a.targets + i0 + i, token, s, dav);
      }
      ds[r * (kTile + 1) + i] = own.ds;
      weighted[r * (kTile + 1) + i] = own.weighted;
    }
    __syncthreads();
    for (int64_t n = lane; n < d; n += kLanes) {
      T sum = dk[r * width + n];
      for (int i = 0; i < kTile; ++i) sum = fma(ds[r * (kTile + 1) + i], q[i * width + n], sum);
      dk[r * width + n] = sum;
    }
    for (int64_t n = lane; n < c_count; n += kLanes) {
      T sum = dv[r * wide + n];
      for (int i = 0; i < kTile; ++i)
        sum = fma(weighted[r * (kTile + 1) + i], dcontext[i * wide + n], sum);
      dv[r * wide + n] = sum;
    }
  }
  __syncthreads();
  const int64_t place = image * a.tokens + token;
  StoreNormalised(k + r * width, dk + r * width, mine ? w.k_factor[place] : T(0), d, lane, mine,
                  a.dk + place * d);
  if (!mine) return;
  for (int64_t n = lane; n < c_count; n += kLanes) a.dv[place * c_count + n] = dv[r * wide + n];
}

// One block: d tau and d beta over all targets, then the prior's gradient of each image and class.
template <class T>
__global__ void ScalarKernel(AttentionGradientArgs<T> a, Workspace<T> w, double* scalars) {
  __shared__ double scratch[64];
  double sums[2] = {0, 0};
  for (int64_t row = threadIdx.x; row < a.batch * a.targets; row += blockDim.x) {
    sums[0] += static_cast<double>(w.row_tau[row]);
    sums[1] += static_cast<double>(w.row_beta[row]);
  }
  GroupSum(sums, scratch);
  if (threadIdx.x == 0) {
    scalars[0] = sums[0];
    scalars[1] = sums[1];
  }
  if (!a.d_prior) return;
  for (int64_t n = 0; n < a.batch * a.classes; ++n) {
    const int64_t image = n / a.classes, c = n % a.classes;
    double sum[1] = {0};
    for (int64_t i = threadIdx.x; i < a.targets; i += blockDim.x)
      sum[0] += static_cast<double>(w.dlogit[(image * a.targets + i) * a.classes + c]);
    GroupSum(sum, scratch);
    if (threadIdx.x == 0) a.d_prior[n] = static_cast<T>(sum[0]);
  }
}

// ---- launches

// Lets a kernel have `bytes` of shared memory.
template <class Kernel>
void AllowSharedMemory(Kernel kernel, size_t bytes) {
  int device = 0, most = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  CheckArgument(bytes <= static_cast<size_t>(most), kName, "v",
                "too many channels for the shared memory of this device");
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(bytes));
}

template <class T>
void Normalise(const T* x, int64_t rows, int64_t channels, T* y, T* factor, cudaStream_t stream) {
  const dim3 block(32, 8);
  NormaliseKernel<<<static_cast<unsigned>((rows + 7) / 8), block, 0, stream>>>(x, rows, channels, y,
                                                                               factor);
  CheckLaunch(kName, "q");
}

template <class T>
void Prepare(const AttentionArgs<T>& a, const Workspace<T>& w, cudaStream_t stream) {
  Normalise(a.q, a.batch * a.targets, a.key_channels, w.q, w.q_factor, stream);
  Normalise(a.k, a.batch * a.tokens, a.key_channels, w.k, w.k_factor, stream);
  AreaKernel<<<static_cast<unsigned>(a.batch * a.classes), 256, 0, stream>>>(a.mu, a.tokens,
                                                                             w.area);
  CheckLaunch(kName, "mu");
}

dim3 Tiles(int64_t rows, int64_t batch) {
  return {static_cast<unsigned>((rows + kTile - 1) / kTile), static_cast<unsigned>(batch)};
}

}  // namespace

int64_t CosineAttentionWorkspace(int64_t batch, int64_t targets, int64_t tokens, int64_t classes,
                                 int64_t key_channels) {
  return batch * ((targets + tokens) * (key_channels + 1) + classes + targets * (3 * classes + 2));
}

template <class T>
void CosineAttentionForward(const AttentionArgs<T>& a, T* workspace, cudaStream_t stream) {
  if (a.batch * a.targets == 0) return;
  const Workspace<T> w = Divide(a, workspace);
  Prepare(a, w, stream);
  const size_t bytes =
      sizeof(T) *
      static_cast<size_t>(kTile * (2 * (a.key_channels + 1) + 3 * a.value_channels + kTile + 2));
  AllowSharedMemory(ForwardKernel<T>, bytes);
  ForwardKernel<T><<<Tiles(a.targets, a.batch), kThreads, bytes, stream>>>(a, w);
  CheckLaunch(kName, "context");
}

template <class T>
void CosineAttentionBackward(const AttentionGradientArgs<T>& a, T* workspace, double* scalars,
                             cudaStream_t stream) {
  const Workspace<T> w = Divide<T>(a, workspace);
  Prepare<T>(a, w, stream);
  const int64_t rows = a.batch * a.targets;
  EnterKernel<T><<<static_cast<unsigned>((rows + 7) / 8), dim3(32, 8), 0, stream>>>(a, w);
  CheckLaunch(kName, "d_context");
  const int64_t keys = 3 * (a.key_channels + 1), values = a.value_channels + 1, tile = kTile + 1;
  const size_t query = sizeof(T) * static_cast<size_t>(kTile * (keys + 2 * values + tile));
  AllowSharedMemory(QueryGradientKernel<T>, query);
  QueryGradientKernel<T><<<Tiles(a.targets, a.batch), kThreads, query, stream>>>(a, w);
  CheckLaunch(kName, "dq");
  const size_t token = sizeof(T) * static_cast<size_t>(kTile * (keys + 3 * values + 2 * tile));
  AllowSharedMemory(TokenGradientKernel<T>, token);
  TokenGradientKernel<T><<<Tiles(a.tokens, a.batch), kThreads, token, stream>>>(a, w);
  CheckLaunch(kName, "dk");
  ScalarKernel<T><<<1, 256, 0, stream>>>(a, w, scalars);
  CheckLaunch(kName, "d_tau");
}

template void CosineAttentionForward(const AttentionArgs<float>&, float*, cudaStream_t);
template void CosineAttentionForward(const AttentionArgs<double>&, double*, cudaStream_t);
template void CosineAttentionBackward(const AttentionGradientArgs<float>&, float*, double*,
                                      cudaStream_t);
template void CosineAttentionBackward(const AttentionGradientArgs<double>&, double*, double*,
                                      cudaStream_t);

}  // namespace orchard::cuda
