#include "sync/update_kernels.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/simd.h"
#include "base/thread_pool.h"

namespace orchard::sync {
namespace {

template <class F>
void OverPieces(const Piece* pieces, int64_t count, ThreadPool* pool, F&& f) {
  if (pool == nullptr || pool->threads() == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) f(pieces[i]);
    return;
  }
  pool->ForEach(count, [&](int64_t i) { f(pieces[i]); });
}

// A function template per rule, so that no loop has a branch in it.
template <class F>
void WithRule(StepRule rule, F&& f) {
  switch (rule) {
#define ORCHARD_RULE(name) \
  case StepRule::name:     \
    return f(std::integral_constant<StepRule, StepRule::name>{});
    ORCHARD_RULE(kNesterov)
    ORCHARD_RULE(kHeavyBall)
    ORCHARD_RULE(kRelease)
    ORCHARD_RULE(kAdam)
    ORCHARD_RULE(kAdamW)
    ORCHARD_RULE(kLion)
    ORCHARD_RULE(kGiven)
#undef ORCHARD_RULE
  }
}

// The arrays of a piece that a step reads and moves on.
template <class T>
struct Operands {
  Operands(const UpdateArgs<T>& a, const Piece& p)
      : n(p.count),
        g(a.gradient + p.begin),
        x(a.values + p.begin),
        m(a.momentum == nullptr ? nullptr : a.momentum + p.begin),
        v(a.second_moment == nullptr ? nullptr : a.second_moment + p.begin) {}
  int64_t n;
  const T* g;
  T *x, *m, *v;
};

// ---- loops. The arrays of one call are different ones.

template <StepRule kRule, class T>
ORCHARD_HD T StepAt(const StepScalars<T>& s, int64_t i, T gradient, T value, T* m, T* v) {
  T first = 0, second = 0;
  if constexpr (kRule != StepRule::kGiven) first = m[i];
  if constexpr (UsesSecondMoment(kRule)) second = v[i];
  const T p = StepOf<kRule>(s, gradient, value, first, second);
  if constexpr (kRule != StepRule::kGiven) m[i] = first;
  if constexpr (UsesSecondMoment(kRule)) v[i] = second;
  return p;
}

template <StepRule kRule, class T>
ORCHARD_SIMD void LocalLoop(StepScalars<T> s, int64_t n, const T* g, const T* x, T* m, T* v,
                            T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] - StepAt<kRule>(s, i, g[i], x[i], m, v);
}

template <StepRule kRule, class T>
ORCHARD_SIMD void StepLoop(StepScalars<T> s, int64_t n, const T* g, const T* x, T* m, T* v,
                           T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = StepAt<kRule>(s, i, g[i], x[i], m, v);
}

template <StepRule kRule, class T>
ORCHARD_SIMD void SplitLoop(StepScalars<T> s, T theta, int64_t n, const T* g, T* x, T* m, T* v,
                            T* e) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T p = StepAt<kRule>(s, i, g[i], x[i], m, v);
    x[i] = x[i] - theta * p;
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

template <StepRule kRule, class T>
ORCHARD_SIMD void QsparseLoop(StepScalars<T> s, int64_t n, const T* g, T* x, T* m, T* v, const T* y,
                              const T* e, T* out) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T moved = x[i] - StepAt<kRule>(s, i, g[i], x[i], m, v);
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
ORCHARD_SIMD void ResetLoop(T scale, T theta, int64_t n, const T* in, T* x, T* e) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    x[i] = x[i] + (in[i] * scale - theta * e[i]);
    e[i] = 0;
  }
}

template <class T>
ORCHARD_SIMD void LambDirectionLoop(StepScalars<T> s, int64_t n, T* g, const T* x, T* m, T* v) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    T first = m[i], second = v[i];
    const T ratio = MomentRatio(s, s.step_size, g[i] * s.gradient_scale, first, second);
    m[i] = first;
    v[i] = second;
    g[i] = ratio + s.weight_decay * x[i];
  }
}

template <class T>
double NormOf(const T* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * values[i];
  return std::sqrt(sum);
}

template <class T, class F>
void OverMoves(const MoveArgs<T>& a, F&& f) {
  for (const Piece* p = a.pieces; p != a.pieces + a.piece_count; ++p) {
    f(p->count, a.wire + p->wire, a.values + p->begin, *p);
  }
}

}  // namespace

template <class T>
void LocalStep(const UpdateArgs<T>& a, ThreadPool* pool) {
  WithRule(a.rule, [&](auto rule) {
    OverPieces(a.pieces, a.piece_count, pool, [&](const Piece& p) {
      const Operands<T> o(a, p);
      T* out = p.wire < 0 ? o.x : a.wire + p.wire;
      LocalLoop<decltype(rule)::value>(a.scalars, o.n, o.g, o.x, o.m, o.v, out);
    });
  });
}

template <class T>
void SplitStep(const UpdateArgs<T>& a, ThreadPool* pool) {
  WithRule(a.rule, [&](auto rule) {
    constexpr StepRule kRule = decltype(rule)::value;
    OverPieces(a.pieces, a.piece_count, pool, [&](const Piece& p) {
      const Operands<T> o(a, p);
      if (p.wire < 0) {
        SplitLoop<kRule>(a.scalars, a.theta, o.n, o.g, o.x, o.m, o.v, a.error + p.begin);
      } else {
        StepLoop<kRule>(a.scalars, o.n, o.g, o.x, o.m, o.v, a.wire + p.wire);
      }
    });
  });
}

template <class T>
void ErrorFeedback(const UpdateArgs<T>& a, ThreadPool* pool) {
  OverPieces(a.pieces, a.piece_count, pool, [&](const Piece& p) {
    const Operands<T> o(a, p);
    T* e = a.error + p.begin;
    T* out = p.wire < 0 ? e : a.wire + p.wire;
    ErrorLoop(a.scalars, o.n, o.g, o.x, o.m, a.extra + p.begin, e, out);
    if (p.wire >= 0) std::fill_n(e, p.count, T{});
  });
}

template <class T>
void QsparseStep(const UpdateArgs<T>& a, ThreadPool* pool) {
  WithRule(a.rule, [&](auto rule) {
    OverPieces(a.pieces, a.piece_count, pool, [&](const Piece& p) {
      const Operands<T> o(a, p);
      T* e = a.error + p.begin;
      T* out = p.wire < 0 ? e : a.wire + p.wire;
      QsparseLoop<decltype(rule)::value>(a.scalars, o.n, o.g, o.x, o.m, o.v, a.extra + p.begin, e,
                                         out);
      if (p.wire >= 0) std::fill_n(e, p.count, T{});
    });
  });
}

template <class T>
void MakeStep(const UpdateArgs<T>& a, ThreadPool* pool) {
  WithRule(a.rule, [&](auto rule) {
    OverPieces(a.pieces, a.piece_count, pool, [&](const Piece& p) {
      const Operands<T> o(a, p);
      StepLoop<decltype(rule)::value>(a.scalars, o.n, o.g, o.x, o.m, o.v, a.extra + p.begin);
    });
  });
}

template <class T>
void Gather(const MoveArgs<T>& a) {
  OverMoves(a, [](int64_t n, T* wire, T* x, const Piece&) { std::copy_n(x, n, wire); });
}

template <class T>
void Take(const MoveArgs<T>& a) {
  OverMoves(a, [](int64_t n, T* wire, T* x, const Piece&) {
    std::copy_n(x, n, wire);
    std::fill_n(x, n, T{});
  });
}

template <class T>
void Scatter(const MoveArgs<T>& a) {
  OverMoves(a, [&](int64_t n, T* wire, T* x, const Piece&) { ScaleLoop<T>(a.scale, n, wire, x); });
}

template <class T>
void ScatterAdd(const MoveArgs<T>& a) {
  OverMoves(a, [&](int64_t n, T* wire, T* x, const Piece&) { AddLoop<T>(a.scale, n, wire, x); });
}

template <class T>
void ResetError(const MoveArgs<T>& a, T theta, T* error) {
  OverMoves(a, [&](int64_t n, T* wire, T* x, const Piece& p) {
    ResetLoop<T>(a.scale, theta, n, wire, x, error + p.begin);
  });
}

template <class T>
void Axpy(T scale, const T* x, T* y, int64_t count) {
  AddLoop(scale, count, x, y);
}

template <class T>
void LambStep(const StepScalars<T>& s, int64_t count, T* g, const T* x, T* m, T* v) {
  LambDirectionLoop(s, count, g, x, m, v);
  const double weights = NormOf(x, count), direction = NormOf(g, count);
  const double trust = weights > 0 && direction > 0 ? weights / direction : 1;
  ScaleLoop<T>(static_cast<T>(static_cast<double>(s.learning_rate) * trust), count, g, g);
}

#define ORCHARD_INSTANTIATE(T)                                    \
  template void LocalStep(const UpdateArgs<T>&, ThreadPool*);     \
  template void SplitStep(const UpdateArgs<T>&, ThreadPool*);     \
  template void ErrorFeedback(const UpdateArgs<T>&, ThreadPool*); \
  template void QsparseStep(const UpdateArgs<T>&, ThreadPool*);   \
  template void MakeStep(const UpdateArgs<T>&, ThreadPool*);      \
  template void Gather(const MoveArgs<T>&);                       \
  template void Take(const MoveArgs<T>&);                         \
  template void Scatter(const MoveArgs<T>&);                      \
  template void ScatterAdd(const MoveArgs<T>&);                   \
  template void ResetError(const MoveArgs<T>&, T, T*);            \
  template void Axpy(T, const T*, T*, int64_t);                   \
  template void LambStep(const StepScalars<T>&, int64_t, T*, const T*, T*, T*);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
