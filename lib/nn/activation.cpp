#include "nn/activation.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "base/simd.h"
#include "nn/activation_element.h"
#include "nn/column_sum.h"

namespace orchard::nn {
namespace {

constexpr int64_t kGrain = 16384;  // elements of one task

template <class T>
const T* At(const void* base, int64_t index) {
  return static_cast<const T*>(base) + index;
}
template <class T>
T* At(void* base, int64_t index) {
  return static_cast<T*>(base) + index;
}

template <class T, class Element>
ORCHARD_SIMD void BiasRow(const T* x, const T* bias, T* y, int64_t n) {
  using C = ComputeOf<T>;
  if (bias != nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const C sum = Widen(x[i]) + Widen(bias[i]);
      y[i] = Narrow<T>(Element::Value(sum));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = Narrow<T>(Element::Value(Widen(x[i])));
  }
}

// `bias` and `dbias` are read only where the flags say so; flags, because a test in the loop keeps
// it from being vectorised.
template <class T, class Element, bool kBias, bool kSum>
ORCHARD_SIMD void BiasRowBackward(const T* dy, const T* x, const T* bias, T* dx,
                                  ComputeOf<T>* dbias, int64_t n) {
  using C = ComputeOf<T>;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    C sum = Widen(x[i]);
    if constexpr (kBias) sum += Widen(bias[i]);
    const C d = Widen(dy[i]) * Element::Both(sum).slope;
    dx[i] = Narrow<T>(d);
    if constexpr (kSum) dbias[i] += d;
  }
}

template <class T, class Element>
auto BiasRowBackwardFor(bool bias, bool sum) {
  if (bias) {
    return sum ? &BiasRowBackward<T, Element, true, true>
               : &BiasRowBackward<T, Element, true, false>;
  }
  return sum ? &BiasRowBackward<T, Element, false, true>
             : &BiasRowBackward<T, Element, false, false>;
}

template <class T, class Element>
ORCHARD_SIMD void Gated(const T* gate, const T* up, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    y[i] = Narrow<T>(Element::Value(Widen(gate[i])) * Widen(up[i]));
  }
}

template <class T, class Element>
ORCHARD_SIMD void GatedGradient(const T* dy, const T* gate, const T* up, T* dgate, T* dup,
                                int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const auto f = Element::Both(Widen(gate[i]));
    dgate[i] = Narrow<T>(Widen(dy[i]) * Widen(up[i]) * f.slope);
    dup[i] = Narrow<T>(Widen(dy[i]) * f.value);
  }
}

template <class T, class Element>
void BiasForward(const BiasActivationForwardArgs& a) {
  const int64_t n = a.columns;
  at::parallel_for(0, a.rows, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      BiasRow<T, Element>(At<T>(a.x, row * n), At<T>(a.bias, 0), At<T>(a.y, row * n), n);
    }
  });
}

template <class T, class Element>
void BiasBackward(const BiasActivationBackwardArgs& a) {
  using C = ComputeOf<T>;
  const int64_t n = a.columns, blocks = (a.rows + kBiasRows - 1) / kBiasRows;
  const auto run_row = BiasRowBackwardFor<T, Element>(a.bias != nullptr, a.dbias != nullptr);
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      C* sums = a.dbias == nullptr ? nullptr : At<C>(a.workspace, block * n);
      if (sums != nullptr) std::fill(sums, sums + n, C(0));
      for (int64_t row = block * kBiasRows; row < std::min(a.rows, (block + 1) * kBiasRows);
           ++row) {
        run_row(At<T>(a.dy, row * n), At<T>(a.x, row * n), At<T>(a.bias, 0), At<T>(a.dx, row * n),
                sums, n);
      }
    }
  });
  if (a.dbias != nullptr) SumColumns<T, C>(At<C>(a.workspace, 0), blocks, n, At<T>(a.dbias, 0));
}

// Calls run(T{}, Element{}).
template <class Function>
void Dispatch(FloatType type, Activation activation, Function&& run) {
  DispatchFloat(type, [&](auto t) {
    DispatchActivation(activation, [&](auto element) { run(t, element); });
  });
}

}  // namespace

void BiasActivationForward(const BiasActivationForwardArgs& args) {
  if (args.rows * args.columns == 0) return;
  Dispatch(args.type, args.activation,
           [&](auto t, auto e) { BiasForward<decltype(t), decltype(e)>(args); });
}

void BiasActivationBackward(const BiasActivationBackwardArgs& args) {
  if (args.columns == 0) return;
  Dispatch(args.type, args.activation,
           [&](auto t, auto e) { BiasBackward<decltype(t), decltype(e)>(args); });
}

void GatedForward(const GatedForwardArgs& a) {
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    at::parallel_for(0, a.count, kGrain, [&](int64_t begin, int64_t end) {
      Gated<T, decltype(e)>(At<T>(a.gate, begin), At<T>(a.up, begin), At<T>(a.y, begin),
                            end - begin);
    });
  });
}

void GatedBackward(const GatedBackwardArgs& a) {
  Dispatch(a.type, a.activation, [&](auto t, auto e) {
    using T = decltype(t);
    at::parallel_for(0, a.count, kGrain, [&](int64_t begin, int64_t end) {
      GatedGradient<T, decltype(e)>(At<T>(a.dy, begin), At<T>(a.gate, begin), At<T>(a.up, begin),
                                    At<T>(a.dgate, begin), At<T>(a.dup, begin), end - begin);
    });
  });
}

}  // namespace orchard::nn
