#include "sync/update_kernels.h"

#include <algorithm>
#include <vector>

#include "base/simd.h"

namespace orchard::sync {
namespace {

// Elements that a thread takes at once, at most: a few arrays of them fit into a core's cache.
constexpr int64_t kPiece = 16384;

// A stretch of the arena, selected or not.
struct Piece {
  int64_t begin = 0, count = 0;
  int64_t wire = -1;  // where it goes in the message; -1: not selected
};

// Calls f(piece) for all of [0, size), cut at the borders of the selection.
template <class F>
void ForEachPiece(int64_t size, const Selection& selection, F&& f) {
  const auto cut = [&](int64_t begin, int64_t end, int64_t wire) {
    for (int64_t at = begin; at < end; at += kPiece) {
      f(Piece{at, std::min(kPiece, end - at), wire < 0 ? wire : wire + (at - begin)});
    }
  };
  int64_t at = 0, wire = 0;
  for (const Range& run : selection.runs) {
    cut(at, run.begin, -1);
    cut(run.begin, run.end, wire);
    wire += run.size();
    at = run.end;
  }
  cut(at, size, -1);
}

template <class F>
void OverPieces(int64_t size, const Selection& selection, ThreadPool* pool, F&& f) {
  if (pool == nullptr || pool->threads() == 1 || size <= kPiece) {
    return ForEachPiece(size, selection, f);
  }
  std::vector<Piece> pieces;
  ForEachPiece(size, selection, [&](const Piece& piece) { pieces.push_back(piece); });
  pool->ForEach(static_cast<int64_t>(pieces.size()),
                [&](int64_t i) { f(pieces[static_cast<size_t>(i)]); });
}

// A function template per rule, so that no loop has a branch in it.
template <class F>
void WithRule(MomentumRule rule, F&& f) {
  switch (rule) {
    case MomentumRule::kNesterov:
      return f(std::integral_constant<MomentumRule, MomentumRule::kNesterov>{});
    case MomentumRule::kHeavyBall:
      return f(std::integral_constant<MomentumRule, MomentumRule::kHeavyBall>{});
    case MomentumRule::kRelease:
      return f(std::integral_constant<MomentumRule, MomentumRule::kRelease>{});
  }
}

// ---- loops. The arrays of one call are different ones.

template <MomentumRule kRule, class T>
ORCHARD_SIMD void LocalLoop(StepScalars<T> s, int64_t n, const T* g, const T* x, T* m, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T momentum = m[i];
    const T p = MomentumStep<kRule>(s, g[i], x[i], momentum);
    m[i] = momentum;
    out[i] = x[i] - p;
  }
}

template <MomentumRule kRule, class T>
ORCHARD_SIMD void StepLoop(StepScalars<T> s, int64_t n, const T* g, const T* x, T* m, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T momentum = m[i];
    out[i] = MomentumStep<kRule>(s, g[i], x[i], momentum);
    m[i] = momentum;
  }
}

template <MomentumRule kRule, class T>
ORCHARD_SIMD void SplitLoop(StepScalars<T> s, int64_t n, const T* g, T* x, T* m, T* e) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T momentum = m[i];
    const T p = MomentumStep<kRule>(s, g[i], x[i], momentum);
    m[i] = momentum;
    x[i] = x[i] - p;
    e[i] = e[i] - p;
  }
}

template <class T>
ORCHARD_SIMD void ErrorLoop(StepScalars<T> s, int64_t n, const T* g, T* x, T* m, T* w, const T* e,
                            T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T value = x[i], momentum = m[i], decay = w[i], error = e[i];
    ErrorFeedbackStep(s, g[i], value, momentum, decay, error);
    x[i] = value;
    m[i] = momentum;
    w[i] = decay;
    out[i] = error;
  }
}

template <MomentumRule kRule, class T>
ORCHARD_SIMD void QsparseLoop(StepScalars<T> s, int64_t n, const T* g, T* x, T* m, const T* y,
                              const T* e, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T momentum = m[i];
    const T moved = x[i] - MomentumStep<kRule>(s, g[i], x[i], momentum);
    m[i] = momentum;
    out[i] = e[i] + (moved - y[i]);
    x[i] = y[i];
  }
}

template <class T>
ORCHARD_SIMD void ScaleLoop(T scale, int64_t n, const T* in, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = in[i] * scale;
}

template <class T>
ORCHARD_SIMD void AddLoop(T scale, int64_t n, const T* in, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = out[i] + in[i] * scale;
}

template <class T>
ORCHARD_SIMD void ResetLoop(T scale, int64_t n, const T* in, T* x, T* e) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    x[i] = x[i] + (in[i] * scale - e[i]);
    e[i] = 0;
  }
}

// Calls f(begin in the arena, begin in the message, elements) for every run.
template <class F>
void OverRuns(const Selection& selection, F&& f) {
  int64_t wire = 0;
  for (const Range& run : selection.runs) {
    f(run.begin, wire, run.size());
    wire += run.size();
  }
}

}  // namespace

template <class T>
void LocalStep(const StepScalars<T>& s, MomentumRule rule, const Arenas<T>& a,
               const Selection& selection, std::span<T> wire, ThreadPool* pool) {
  WithRule(rule, [&](auto constant) {
    OverPieces(std::ssize(a.values), selection, pool, [&](const Piece& p) {
      T* out = p.wire < 0 ? &a.values[p.begin] : &wire[p.wire];
      LocalLoop<decltype(constant)::value>(s, p.count, &a.gradient[p.begin], &a.values[p.begin],
                                           &a.momentum[p.begin], out);
    });
  });
}

template <class T>
void SplitStep(const StepScalars<T>& s, MomentumRule rule, const Arenas<T>& a,
               const Selection& selection, std::span<T> wire, ThreadPool* pool) {
  WithRule(rule, [&](auto constant) {
    constexpr MomentumRule kRule = decltype(constant)::value;
    OverPieces(std::ssize(a.values), selection, pool, [&](const Piece& p) {
      const T* g = &a.gradient[p.begin];
      T *x = &a.values[p.begin], *m = &a.momentum[p.begin];
      if (p.wire < 0) {
        SplitLoop<kRule>(s, p.count, g, x, m, &a.error[p.begin]);
      } else {
        StepLoop<kRule>(s, p.count, g, x, m, &wire[p.wire]);
      }
    });
  });
}

template <class T>
void ErrorFeedback(const StepScalars<T>& s, const Arenas<T>& a, const Selection& selection,
                   std::span<T> wire, ThreadPool* pool) {
  OverPieces(std::ssize(a.values), selection, pool, [&](const Piece& p) {
    T* e = &a.error[p.begin];
    T* out = p.wire < 0 ? e : &wire[p.wire];
    ErrorLoop(s, p.count, &a.gradient[p.begin], &a.values[p.begin], &a.momentum[p.begin],
              &a.second[p.begin], e, out);
    if (p.wire >= 0) std::fill_n(e, p.count, T{});
  });
}

template <class T>
void QsparseStep(const StepScalars<T>& s, MomentumRule rule, const Arenas<T>& a,
                 const Selection& selection, std::span<T> wire, ThreadPool* pool) {
  WithRule(rule, [&](auto constant) {
    OverPieces(std::ssize(a.values), selection, pool, [&](const Piece& p) {
      T* e = &a.error[p.begin];
      T* out = p.wire < 0 ? e : &wire[p.wire];
      QsparseLoop<decltype(constant)::value>(s, p.count, &a.gradient[p.begin], &a.values[p.begin],
                                             &a.momentum[p.begin], &a.second[p.begin], e, out);
      if (p.wire >= 0) std::fill_n(e, p.count, T{});
    });
  });
}

template <class T>
void Gather(std::span<const T> values, const Selection& selection, std::span<T> wire) {
  OverRuns(selection, [&](int64_t at, int64_t begin, int64_t n) {
    std::copy_n(&values[at], n, &wire[begin]);
  });
}

template <class T>
void Scatter(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values) {
  OverRuns(selection, [&](int64_t at, int64_t begin, int64_t n) {
    ScaleLoop(scale, n, &wire[begin], &values[at]);
  });
}

template <class T>
void ScatterAdd(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values) {
  OverRuns(selection, [&](int64_t at, int64_t begin, int64_t n) {
    AddLoop(scale, n, &wire[begin], &values[at]);
  });
}

template <class T>
void ResetError(std::span<const T> wire, T scale, const Selection& selection, std::span<T> values,
                std::span<T> error) {
  OverRuns(selection, [&](int64_t at, int64_t begin, int64_t n) {
    ResetLoop(scale, n, &wire[begin], &values[at], &error[at]);
  });
}

template <class T>
void MakeStep(const StepScalars<T>& s, MomentumRule rule, const Arenas<T>& a, std::span<T> step,
              ThreadPool* pool) {
  WithRule(rule, [&](auto constant) {
    OverPieces(std::ssize(a.values), {}, pool, [&](const Piece& p) {
      StepLoop<decltype(constant)::value>(s, p.count, &a.gradient[p.begin], &a.values[p.begin],
                                          &a.momentum[p.begin], &step[p.begin]);
    });
  });
}

template <class T>
void Axpy(T scale, std::span<const T> x, std::span<T> y) {
  AddLoop(scale, std::ssize(y), x.data(), y.data());
}

#define ORCHARD_INSTANTIATE(T)                                                                     \
  template void LocalStep(const StepScalars<T>&, MomentumRule, const Arenas<T>&, const Selection&, \
                          std::span<T>, ThreadPool*);                                              \
  template void SplitStep(const StepScalars<T>&, MomentumRule, const Arenas<T>&, const Selection&, \
                          std::span<T>, ThreadPool*);                                              \
  template void ErrorFeedback(const StepScalars<T>&, const Arenas<T>&, const Selection&,           \
                              std::span<T>, ThreadPool*);                                          \
  template void QsparseStep(const StepScalars<T>&, MomentumRule, const Arenas<T>&,                 \
                            const Selection&, std::span<T>, ThreadPool*);                          \
  template void Gather(std::span<const T>, const Selection&, std::span<T>);                        \
  template void Scatter(std::span<const T>, T, const Selection&, std::span<T>);                    \
  template void ScatterAdd(std::span<const T>, T, const Selection&, std::span<T>);                 \
  template void ResetError(std::span<const T>, T, const Selection&, std::span<T>, std::span<T>);   \
  template void MakeStep(const StepScalars<T>&, MomentumRule, const Arenas<T>&, std::span<T>,      \
                         ThreadPool*);                                                             \
  template void Axpy(T, std::span<const T>, std::span<T>);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
