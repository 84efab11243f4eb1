#include "nn/norm.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/simd.h"
#include "nn/column_sum.h"
#include "nn/norm_element.h"

namespace orchard::nn {
namespace {

// Rows for one task: about 16 Ki elements.
int64_t RowGrain(int64_t columns) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, columns));
}

template <class T, class C>
ORCHARD_SIMD C Sum(const T* x, int64_t n) {
  C sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += Widen(x[i]);
  return sum;
}

template <class T, class C>
ORCHARD_SIMD C SumOfSquares(const T* x, int64_t n, C centre) {
  C sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const C d = Widen(x[i]) - centre;
    sum += d * d;
  }
  return sum;
}

template <class T, class W, class C>
ORCHARD_SIMD void Scale(const T* x, const W* weight, const W* bias, T* y, int64_t n, C mean, C rstd,
                        C offset) {
  if (bias != nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const C normal = Normalised<C>(Widen(x[i]), mean, rstd);
      y[i] = Narrow<T>(normal * (static_cast<C>(Widen(weight[i])) + offset) +
                       static_cast<C>(Widen(bias[i])));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const C normal = Normalised<C>(Widen(x[i]), mean, rstd);
      y[i] = Narrow<T>(normal * (static_cast<C>(Widen(weight[i])) + offset));
    }
  }
}

template <class T, class W>
void Forward(const NormForwardArgs& a) {
  using C = ComputeOf<T>;
  const int64_t n = a.columns;
  const bool centred = a.kind == NormKind::kLayerNorm;
  at::parallel_for(0, a.rows, RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.x) + row * n;
      const C mean = centred ? Sum<T, C>(x, n) / static_cast<C>(n) : C(0);
      const C variance = SumOfSquares<T, C>(x, n, mean) / static_cast<C>(n);
      const C rstd = C(1) / std::sqrt(variance + static_cast<C>(a.epsilon));
      Scale<T, W, C>(x, static_cast<const W*>(a.weight), static_cast<const W*>(a.bias),
                     static_cast<T*>(a.y) + row * n, n, mean, rstd,
                     static_cast<C>(a.weight_offset));
      if (centred) static_cast<C*>(a.mean)[row] = mean;
      static_cast<C*>(a.rstd)[row] = rstd;
    }
  });
}

// sum(g) and sum(g n) of one row.
template <class C>
struct RowSums {
  C g, gn;
};

template <class T, class W, class C>
ORCHARD_SIMD RowSums<C> GradientSums(const T* dy, const T* x, const W* weight, int64_t n, C mean,
                                     C rstd, C offset) {
  C sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
  for (int64_t i = 0; i < n; ++i) {
    const C g = static_cast<C>(Widen(dy[i])) * (static_cast<C>(Widen(weight[i])) + offset);
    sum_g += g;
    sum_gn += g * Normalised<C>(Widen(x[i]), mean, rstd);
  }
  return {sum_g, sum_gn};
}

template <class T, class W, class C>
ORCHARD_SIMD void RowGradient(const T* dy, const T* x, const W* weight, T* dx, C* dweight, C* dbias,
                              int64_t n, C mean, C rstd, C offset, C mean_g, C mean_gn) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const C d = Widen(dy[i]);
    const C normal = Normalised<C>(Widen(x[i]), mean, rstd);
    const C g = d * (static_cast<C>(Widen(weight[i])) + offset);
    dx[i] = Narrow<T>(NormInputGradient<C>(g, normal, mean_g, mean_gn, rstd));
    dweight[i] += d * normal;
    dbias[i] += d;
  }
}

template <class T, class W>
void Backward(const NormBackwardArgs& a) {
  using C = ComputeOf<T>;
  const int64_t n = a.columns;
  const int64_t partials = std::min(a.rows, kNormPartials);
  C* sums = static_cast<C*>(a.workspace);
  at::parallel_for(0, partials, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      C* dweight = sums + p * n;
      C* dbias = sums + (partials + p) * n;
      std::fill(dweight, dweight + n, C(0));
      std::fill(dbias, dbias + n, C(0));
      for (int64_t row = p; row < a.rows; row += partials) {
        const T* dy = static_cast<const T*>(a.dy) + row * n;
        const T* x = static_cast<const T*>(a.x) + row * n;
        const W* weight = static_cast<const W*>(a.weight);
        const bool centred = a.kind == NormKind::kLayerNorm;
        const C mean = centred ? static_cast<const C*>(a.mean)[row] : C(0);
        const C rstd = static_cast<const C*>(a.rstd)[row];
        const C offset = static_cast<C>(a.weight_offset);
        const RowSums<C> s = GradientSums<T, W, C>(dy, x, weight, n, mean, rstd, offset);
        RowGradient<T, W, C>(dy, x, weight, static_cast<T*>(a.dx) + row * n, dweight, dbias, n,
                             mean, rstd, offset, centred ? s.g / static_cast<C>(n) : C(0),
                             s.gn / static_cast<C>(n));
      }
    }
  });
  SumColumns<W, C>(sums, partials, n, static_cast<W*>(a.dweight));
  if (a.dbias != nullptr)
    SumColumns<W, C>(sums + partials * n, partials, n, static_cast<W*>(a.dbias));
}

}  // namespace

void NormForward(const NormForwardArgs& args) {
  DispatchNormTypes(args.type, args.weight_type,
                    [&](auto t, auto w) { Forward<decltype(t), decltype(w)>(args); });
}

void NormBackward(const NormBackwardArgs& args) {
  DispatchNormTypes(args.type, args.weight_type,
                    [&](auto t, auto w) { Backward<decltype(t), decltype(w)>(args); });
}

}  // namespace orchard::nn
