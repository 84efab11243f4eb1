// One optimiser step over all tensors of a model: decoupled weight decay, moments, update, moving
// average and the rounding of 16-bit weights in one pass. ATen would make a dozen passes and as
// many launches per tensor.
//
// Up to kTensors tensors of one type travel in a launch's parameters, with their scalars (each has
// its own step counter); a block takes one chunk of kChunk elements of one of them. Bytes per
// element for AdamW: f32 28 (weight and two moments read and written, gradient read), bf16 with an
// f32 master 28 (master and moments 24, gradient 2, weight 2), 8 more with averaging.
//
// The norm: a block sums the squares of a chunk in f64, then one block adds the chunks in order.
// Bytes per element: one read.
#include <cuda_runtime.h>

#include "cuda/base/reduce.cuh"
#include "cuda/base/vector.cuh"
#include "cuda/nn/parameter_update.h"

namespace orchard::cuda {
namespace {

using nn::AdamWArgs;
using nn::SgdArgs;
using nn::TensorUpdate;

constexpr int kTensors = 24;  // with f64 scalars the parameters stay below their 4 KiB
constexpr int64_t kChunk = 16384;
constexpr int kThreads = 256;
constexpr int kN = 4;  // elements a thread moves at once

template <class Scalars>
struct Slot {
  void* value;
  const void* gradient;
  void *master, *first, *second, *average;
  int64_t count;
  int32_t first_chunk;  // of the launch
  int32_t vectors;      // whether all buffers are aligned for kN elements
  Scalars scalars;
};

template <class Scalars>
struct Batch {
  int32_t size = 0, chunks = 0;
  Slot<Scalars> slot[kTensors];
};

// The updates of nn/adamw_element.h, under one name.
template <class C>
__device__ __forceinline__ void Apply(const nn::AdamWScalars<C>& s, C g, C& w, C& m, C& v) {
  nn::AdamWElement(s, g, w, m, v);
}
template <class C>
__device__ __forceinline__ void Apply(const nn::SgdScalars<C>& s, C g, C& w, C& m, C&) {
  nn::SgdElement(s, g, w, m);
}

// Elements [index * N, index * N + N) of a tensor.
template <class T, int N, class Scalars>
__device__ __forceinline__ void Step(const Slot<Scalars>& t, const Scalars& scalars, int64_t index,
                                     ComputeOf<T> decay, ComputeOf<T> rest) {
  using C = ComputeOf<T>;
  constexpr bool kHasMaster = sizeof(T) == 2;
  C gradient[N], weight[N], first[N], second[N] = {}, average[N];
  C* weights = static_cast<C*>(kHasMaster ? t.master : t.value);
  LoadVector<N>(static_cast<const T*>(t.gradient), index, gradient);
  LoadVector<N>(weights, index, weight);
  LoadVector<N>(static_cast<const C*>(t.first), index, first);
  if (t.second != nullptr) LoadVector<N>(static_cast<const C*>(t.second), index, second);
  if (t.average != nullptr) LoadVector<N>(static_cast<const C*>(t.average), index, average);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    Apply(scalars, gradient[i], weight[i], first[i], second[i]);
    if (t.average != nullptr) average[i] = nn::AverageElement(decay, rest, average[i], weight[i]);
  }
  StoreVector<N>(weights, index, weight);
  StoreVector<N>(static_cast<C*>(t.first), index, first);
  if (t.second != nullptr) StoreVector<N>(static_cast<C*>(t.second), index, second);
  if (t.average != nullptr) StoreVector<N>(static_cast<C*>(t.average), index, average);
  if constexpr (kHasMaster) StoreVector<N>(static_cast<T*>(t.value), index, weight);
}

// The tensor of a block's chunk: the last one that begins at or before it.
template <class B>
__device__ __forceinline__ int SlotOf(const B& batch, int chunk) {
  int slot = 0;
  while (slot + 1 < batch.size && batch.slot[slot + 1].first_chunk <= chunk) ++slot;
  return slot;
}

template <class T, class Scalars>
__global__ void __launch_bounds__(kThreads)
    UpdateKernel(const Batch<Scalars> batch, const double* gradient_scale, ComputeOf<T> decay,
                 ComputeOf<T> rest) {
  using C = ComputeOf<T>;
  const Slot<Scalars>& t = batch.slot[SlotOf(batch, blockIdx.x)];
  Scalars scalars = t.scalars;
  scalars.gradient_scale = static_cast<C>(*gradient_scale);
  const int64_t begin = static_cast<int64_t>(blockIdx.x - t.first_chunk) * kChunk;
  const int64_t end = begin + kChunk < t.count ? begin + kChunk : t.count;
  int64_t single = begin;
  if (t.vectors) {
    for (int64_t v = begin / kN + threadIdx.x; v < end / kN; v += kThreads) {
      Step<T, kN>(t, scalars, v, decay, rest);
    }
    single = end / kN * kN;
  }
  for (int64_t i = single + threadIdx.x; i < end; i += kThreads) {
    Step<T, 1>(t, scalars, i, decay, rest);
  }
}

bool Aligned(const TensorUpdate& t) {
  const uintptr_t typed =
      reinterpret_cast<uintptr_t>(t.value) | reinterpret_cast<uintptr_t>(t.gradient);
  const uintptr_t wide =
      reinterpret_cast<uintptr_t>(t.master) | reinterpret_cast<uintptr_t>(t.first) |
      reinterpret_cast<uintptr_t>(t.second) | reinterpret_cast<uintptr_t>(t.average);
  const uintptr_t width = t.type == FloatType::kF64 ? 8 : 4;
  return typed % (static_cast<uintptr_t>(ByteSize(t.type)) * kN) == 0 && wide % (width * kN) == 0;
}

template <class T, class Scalars, class Args>
void Flush(Batch<Scalars>& batch, const Args& args, cudaStream_t stream) {
  using C = ComputeOf<T>;
  if (batch.chunks > 0) {
    UpdateKernel<T, Scalars><<<batch.chunks, kThreads, 0, stream>>>(
        batch, args.gradient_scale, static_cast<C>(args.average_decay),
        static_cast<C>(1 - args.average_decay));
  }
  batch.size = batch.chunks = 0;
}

// The tensors of type T.
template <class T, class Args>
void UpdateType(const Args& args, cudaStream_t stream) {
  using C = ComputeOf<T>;
  using Scalars = decltype(nn::MakeScalars<C>(args, *args.tensors, 1.0));
  Batch<Scalars> batch;
  for (const TensorUpdate* t = args.tensors; t != args.tensors + args.tensor_count; ++t) {
    if (t->type != kFloatTypeOf<T> || t->count == 0) continue;
    batch.slot[batch.size++] = {
        t->value,   t->gradient, t->master,    t->first,    t->second,
        t->average, t->count,    batch.chunks, Aligned(*t), nn::MakeScalars<C>(args, *t, 1.0)};
    batch.chunks += static_cast<int32_t>((t->count + kChunk - 1) / kChunk);
    if (batch.size == kTensors) Flush<T>(batch, args, stream);
  }
  Flush<T>(batch, args, stream);
}

template <class Args>
void Update(const Args& args, const char* kernel, bool second_moment, cudaStream_t stream) {
  CheckArgument(args.gradient_scale != nullptr, kernel, "", "the gradient scale is null");
  for (const TensorUpdate* t = args.tensors; t != args.tensors + args.tensor_count; ++t) {
    CheckArgument(t->count >= 0 && t->count < kChunk * INT32_MAX / kTensors, kernel, t->name,
                  "the number of elements is out of range");
    CheckArgument(
        t->count == 0 || (t->value != nullptr && t->gradient != nullptr && t->first != nullptr &&
                          (!second_moment || t->second != nullptr)),
        kernel, t->name, "a pointer is null");
    CheckArgument(ByteSize(t->type) != 2 || t->master != nullptr, kernel, t->name,
                  "a 16-bit weight needs a master");
  }
  if (args.tensor_count == 0) return;
  UpdateType<float>(args, stream);
  UpdateType<BFloat16>(args, stream);
  UpdateType<Float16>(args, stream);
  UpdateType<double>(args, stream);
  CheckLaunch(kernel, args.tensors->name);
}

template <class T>
__global__ void __launch_bounds__(kThreads) SquaresKernel(const T* x, int64_t count, double* sums) {
  __shared__ double scratch[32];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk;
  const int64_t end = begin + kChunk < count ? begin + kChunk : count;
  double sum[1] = {0};
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const double value = Widen(x[i]);
    sum[0] += value * value;
  }
  GroupSum(sum, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}

__global__ void __launch_bounds__(kThreads)
    TotalKernel(const double* sums, int64_t count, double* out) {
  __shared__ double scratch[32];
  double sum[1] = {0};
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum[0] += sums[i];
  GroupSum(sum, scratch);
  if (threadIdx.x == 0) *out = sum[0];
}

int64_t Chunks(const TensorUpdate& t) { return (t.count + kChunk - 1) / kChunk; }

}  // namespace

void AdamW(const AdamWArgs& args, cudaStream_t stream) { Update(args, "AdamW", true, stream); }
void Sgd(const SgdArgs& args, cudaStream_t stream) { Update(args, "Sgd", false, stream); }

int64_t SumOfSquaresWorkspace(const TensorUpdate* tensors, int64_t tensor_count) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < tensor_count; ++i) chunks += Chunks(tensors[i]);
  return chunks * static_cast<int64_t>(sizeof(double));
}

void SumOfSquares(const TensorUpdate* tensors, int64_t tensor_count, void* workspace, double* sum,
                  cudaStream_t stream) {
  double* sums = static_cast<double*>(workspace);
  int64_t done = 0;
  for (const TensorUpdate* t = tensors; t != tensors + tensor_count; ++t) {
    if (t->count == 0) continue;
    CheckArgument(t->gradient != nullptr && sums != nullptr, "SumOfSquares", t->name,
                  "the gradient or the workspace is null");
    DispatchFloat(t->type, [&](auto tag) {
      using T = decltype(tag);
      SquaresKernel<T><<<static_cast<unsigned>(Chunks(*t)), kThreads, 0, stream>>>(
          static_cast<const T*>(t->gradient), t->count, sums + done);
    });
    done += Chunks(*t);
  }
  TotalKernel<<<1, kThreads, 0, stream>>>(sums, done, sum);
  CheckLaunch("SumOfSquares", tensor_count > 0 ? tensors->name : "");
}

}  // namespace orchard::cuda
