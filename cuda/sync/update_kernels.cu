// One launch for a whole arena: a block takes one piece, so whether it is sent is the same for all
// of its threads and nothing diverges. A thread moves 16 bytes at a time where piece and message
// allow it (blocks of GRBS always do), else one element.
//
// Bytes per element in f32: LocalStep 20 (g, m, x read; m, x written), SplitStep 28, ErrorFeedback
// 36, QsparseStep 32; Adam 8 more. All are bound by memory.
#include <cuda_runtime.h>

#include "cuda/base/vector.cuh"
#include "cuda/sync/update_kernels.h"

namespace orchard::cuda {
namespace {

using sync::MoveArgs;
using sync::Piece;
using sync::StepRule;
using sync::UpdateArgs;

constexpr int kThreads = 256;

template <StepRule kRule>
constexpr bool kSecondMoment = sync::UsesSecondMoment(kRule);

// The numbers of one element. An operation says which arrays it reads and writes.
template <class T>
struct Element {
  T g, x, m, v, e, extra, wire;
};

template <StepRule kRule, class T>
__device__ __forceinline__ T Step(const UpdateArgs<T>& a, Element<T>& el) {
  return sync::StepOf<kRule>(a.scalars, el.g, el.x, el.m, el.v);
}

struct Local {
  static constexpr bool kError = false, kReadsExtra = false, kWritesExtra = false;
  static constexpr bool kAlwaysError = false, kAlwaysValue = false;
  template <StepRule kRule, class T>
  static __device__ __forceinline__ void Apply(const UpdateArgs<T>& a, bool sent, Element<T>& el) {
    const T moved = el.x - Step<kRule>(a, el);
    (sent ? el.wire : el.x) = moved;
  }
};

struct Split {
  static constexpr bool kError = true, kReadsExtra = false, kWritesExtra = false;
  static constexpr bool kAlwaysError = false, kAlwaysValue = false;
  template <StepRule kRule, class T>
  static __device__ __forceinline__ void Apply(const UpdateArgs<T>& a, bool sent, Element<T>& el) {
    const T p = Step<kRule>(a, el);
    if (sent) {
      el.wire = p;
      return;
    }
    el.x = el.x - a.theta * p;
    el.e = el.e - p;
  }
};

struct Feedback {
  static constexpr bool kError = true, kReadsExtra = true, kWritesExtra = true;
  static constexpr bool kAlwaysError = true, kAlwaysValue = true;
  template <StepRule kRule, class T>
  static __device__ __forceinline__ void Apply(const UpdateArgs<T>& a, bool sent, Element<T>& el) {
    sync::ErrorFeedbackStep(a.scalars, el.g, el.x, el.m, el.extra, el.e);
    if (!sent) return;
    el.wire = el.e;
    el.e = 0;
  }
};

struct Qsparse {
  static constexpr bool kError = true, kReadsExtra = true, kWritesExtra = false;
  static constexpr bool kAlwaysError = true, kAlwaysValue = true;
  template <StepRule kRule, class T>
  static __device__ __forceinline__ void Apply(const UpdateArgs<T>& a, bool sent, Element<T>& el) {
    const T moved = el.x - Step<kRule>(a, el);
    const T out = el.e + (moved - el.extra);
    el.x = el.extra;
    el.e = sent ? T(0) : out;
    el.wire = out;
  }
};

template <int N, class T>
__device__ __forceinline__ void Load(const T* from, int64_t at, T (&to)[N]) {
  LoadVector<N>(from + at, 0, to);
}
template <int N, class T>
__device__ __forceinline__ void Store(T* to, int64_t at, const T (&from)[N]) {
  StoreVector<N>(to + at, 0, from);
}

// Elements [i, i + N) of the arena; `w` is their place in the message.
template <class Op, StepRule kRule, int N, class T>
__device__ __forceinline__ void At(const UpdateArgs<T>& a, int64_t i, int64_t w, bool sent) {
  constexpr bool kFirst = kRule != StepRule::kGiven, kSecond = kSecondMoment<kRule>;
  const bool error = Op::kError && (Op::kAlwaysError || !sent);
  T g[N], x[N], m[N], v[N], e[N], extra[N], wire[N];
  Load(a.gradient, i, g);
  Load(static_cast<const T*>(a.values), i, x);
  if (kFirst) Load(static_cast<const T*>(a.momentum), i, m);
  if (kSecond) Load(static_cast<const T*>(a.second_moment), i, v);
  if (error) Load(static_cast<const T*>(a.error), i, e);
  if (Op::kReadsExtra) Load(static_cast<const T*>(a.extra), i, extra);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    Element<T> el{g[k], x[k], m[k], v[k], e[k], extra[k], T(0)};
    Op::template Apply<kRule>(a, sent, el);
    x[k] = el.x, m[k] = el.m, v[k] = el.v, e[k] = el.e, extra[k] = el.extra, wire[k] = el.wire;
  }
  if (Op::kAlwaysValue || !sent) Store(a.values, i, x);
  if (kFirst) Store(a.momentum, i, m);
  if (kSecond) Store(a.second_moment, i, v);
  if (error) Store(a.error, i, e);
  if (Op::kWritesExtra) Store(a.extra, i, extra);
  if (sent) Store(a.wire, w, wire);
}

template <class T>
__device__ __forceinline__ bool Vectors(const Piece& p) {
  constexpr int kN = kVector<T>;
  return p.begin % kN == 0 && p.count % kN == 0 && (p.wire < 0 || p.wire % kN == 0);
}

template <class Op, StepRule kRule, class T>
__global__ void __launch_bounds__(kThreads) UpdateKernel(UpdateArgs<T> a, bool aligned) {
  constexpr int kN = kVector<T>;
  for (int64_t b = blockIdx.x; b < a.piece_count; b += gridDim.x) {
    const Piece p = a.pieces[b];
    const bool sent = p.wire >= 0;
    if (aligned && Vectors<T>(p)) {
      for (int64_t i = threadIdx.x * kN; i < p.count; i += kThreads * kN) {
        At<Op, kRule, kN>(a, p.begin + i, p.wire + i, sent);
      }
    } else {
      for (int64_t i = threadIdx.x; i < p.count; i += kThreads) {
        At<Op, kRule, 1>(a, p.begin + i, p.wire + i, sent);
      }
    }
  }
}

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

template <class Op, StepRule kRule, class T>
void LaunchRule(const UpdateArgs<T>& a, const char* kernel, cudaStream_t stream) {
  const bool second = kSecondMoment<kRule>;
  const bool extra = Op::kReadsExtra || Op::kWritesExtra;
  CheckArgument(a.gradient != nullptr && a.values != nullptr && a.pieces != nullptr, kernel, "",
                "a pointer is null");
  CheckArgument(kRule == StepRule::kGiven || a.momentum != nullptr, kernel, "momentum", "is null");
  CheckArgument(!second || a.second_moment != nullptr, kernel, "second moment", "is null");
  CheckArgument(!Op::kError || a.error != nullptr, kernel, "error", "is null");
  CheckArgument(!extra || a.extra != nullptr, kernel, "extra", "is null");
  const bool aligned = Aligned(a.gradient) && Aligned(a.values) && Aligned(a.momentum) &&
                       Aligned(a.second_moment) && Aligned(a.error) && Aligned(a.extra) &&
                       Aligned(a.wire);
  const int blocks = static_cast<int>(a.piece_count < (1 << 30) ? a.piece_count : 1 << 30);
  UpdateKernel<Op, kRule, T><<<blocks, kThreads, 0, stream>>>(a, aligned);
  CheckLaunch(kernel, "");
}

template <class Op, class T>
void Launch(const UpdateArgs<T>& a, const char* kernel, cudaStream_t stream) {
  CheckArgument(a.piece_count >= 0, kernel, "pieces", "have a negative number");
  if (a.piece_count == 0) return;
  switch (a.rule) {
    case StepRule::kNesterov:
      return LaunchRule<Op, StepRule::kNesterov>(a, kernel, stream);
    case StepRule::kHeavyBall:
      return LaunchRule<Op, StepRule::kHeavyBall>(a, kernel, stream);
    case StepRule::kRelease:
      return LaunchRule<Op, StepRule::kRelease>(a, kernel, stream);
    case StepRule::kAdam:
      return LaunchRule<Op, StepRule::kAdam>(a, kernel, stream);
    case StepRule::kAdamW:
      return LaunchRule<Op, StepRule::kAdamW>(a, kernel, stream);
    case StepRule::kLion:
      return LaunchRule<Op, StepRule::kLion>(a, kernel, stream);
    case StepRule::kGiven:
      return LaunchRule<Op, StepRule::kGiven>(a, kernel, stream);
  }
}

// ---- what is sent alone

enum class Movement { kGather, kTake, kScatter, kScatterAdd, kReset };

template <Movement kWhat, int N, class T>
__device__ __forceinline__ void MoveAt(const MoveArgs<T>& a, T theta, T* error, int64_t i,
                                       int64_t w) {
  T x[N], wire[N], e[N];
  if (kWhat != Movement::kScatter) Load(static_cast<const T*>(a.values), i, x);
  if (kWhat == Movement::kGather || kWhat == Movement::kTake) {
    Store(a.wire, w, x);
    if (kWhat == Movement::kGather) return;
#pragma unroll
    for (int k = 0; k < N; ++k) x[k] = 0;
    return Store(a.values, i, x);
  }
  Load(static_cast<const T*>(a.wire), w, wire);
  if (kWhat == Movement::kReset) Load(static_cast<const T*>(error), i, e);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (kWhat == Movement::kScatter) x[k] = wire[k] * a.scale;
    if (kWhat == Movement::kScatterAdd) x[k] = x[k] + wire[k] * a.scale;
    if (kWhat == Movement::kReset) x[k] = x[k] + (wire[k] * a.scale - theta * e[k]);
    e[k] = 0;
  }
  Store(a.values, i, x);
  if (kWhat == Movement::kReset) Store(error, i, e);
}

template <Movement kWhat, class T>
__global__ void __launch_bounds__(kThreads)
    MoveKernel(MoveArgs<T> a, T theta, T* error, bool aligned) {
  constexpr int kN = kVector<T>;
  for (int64_t b = blockIdx.x; b < a.piece_count; b += gridDim.x) {
    const Piece p = a.pieces[b];
    if (aligned && Vectors<T>(p)) {
      for (int64_t i = threadIdx.x * kN; i < p.count; i += kThreads * kN) {
        MoveAt<kWhat, kN>(a, theta, error, p.begin + i, p.wire + i);
      }
    } else {
      for (int64_t i = threadIdx.x; i < p.count; i += kThreads) {
        MoveAt<kWhat, 1>(a, theta, error, p.begin + i, p.wire + i);
      }
    }
  }
}

template <Movement kWhat, class T>
void LaunchMove(const MoveArgs<T>& a, T theta, T* error, const char* kernel, cudaStream_t stream) {
  CheckArgument(a.piece_count >= 0, kernel, "pieces", "have a negative number");
  if (a.piece_count == 0) return;
  CheckArgument(a.pieces != nullptr && a.wire != nullptr && a.values != nullptr, kernel, "",
                "a pointer is null");
  CheckArgument(kWhat != Movement::kReset || error != nullptr, kernel, "error", "is null");
  const bool aligned = Aligned(a.wire) && Aligned(a.values) && Aligned(error);
  const int blocks = static_cast<int>(a.piece_count < (1 << 30) ? a.piece_count : 1 << 30);
  MoveKernel<kWhat, T><<<blocks, kThreads, 0, stream>>>(a, theta, error, aligned);
  CheckLaunch(kernel, "");
}

}  // namespace

void LocalStep(const UpdateArgs<float>& args, cudaStream_t stream) {
  Launch<Local>(args, "LocalStep", stream);
}
void SplitStep(const UpdateArgs<float>& args, cudaStream_t stream) {
  Launch<Split>(args, "SplitStep", stream);
}
void ErrorFeedback(const UpdateArgs<float>& args, cudaStream_t stream) {
  CheckArgument(args.rule == StepRule::kNesterov || args.rule == StepRule::kHeavyBall ||
                    args.rule == StepRule::kRelease,
                "ErrorFeedback", "rule", "is not one of SGD");
  if (args.piece_count == 0) return;
  // One form for all rules: the element's arithmetic is its own.
  LaunchRule<Feedback, StepRule::kNesterov>(args, "ErrorFeedback", stream);
}
void QsparseStep(const UpdateArgs<float>& args, cudaStream_t stream) {
  Launch<Qsparse>(args, "QsparseStep", stream);
}

void Gather(const MoveArgs<float>& args, cudaStream_t stream) {
  LaunchMove<Movement::kGather>(args, 0.0f, static_cast<float*>(nullptr), "Gather", stream);
}
void Take(const MoveArgs<float>& args, cudaStream_t stream) {
  LaunchMove<Movement::kTake>(args, 0.0f, static_cast<float*>(nullptr), "Take", stream);
}
void Scatter(const MoveArgs<float>& args, cudaStream_t stream) {
  LaunchMove<Movement::kScatter>(args, 0.0f, static_cast<float*>(nullptr), "Scatter", stream);
}
void ScatterAdd(const MoveArgs<float>& args, cudaStream_t stream) {
  LaunchMove<Movement::kScatterAdd>(args, 0.0f, static_cast<float*>(nullptr), "ScatterAdd", stream);
}
void ResetError(const MoveArgs<float>& args, float theta, float* error, cudaStream_t stream) {
  LaunchMove<Movement::kReset>(args, theta, error, "ResetError", stream);
}

}  // namespace orchard::cuda
