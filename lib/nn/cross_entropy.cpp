#include "nn/cross_entropy.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/simd.h"
#include "nn/cross_entropy_element.h"

namespace orchard::nn {
namespace {

int64_t RowGrain(int64_t classes) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, classes));
}

template <class C>
struct MaxAndSum {
  C largest, sum;
};

template <class T, class C>
ORCHARD_SIMD MaxAndSum<C> Scan(const T* x, int64_t n) {
  C largest = EmptyExpSum<C>().largest, sum = 0;
#pragma omp simd reduction(max : largest) reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const C value = Widen(x[i]);
    largest = value > largest ? value : largest;
    sum += value;
  }
  return {largest, sum};
}

template <class T, class C>
ORCHARD_SIMD C SumOfExp(const T* x, int64_t n, C largest) {
  C sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += Exp(static_cast<C>(Widen(x[i])) - largest);
  return sum;
}

template <class T, class C>
ORCHARD_SIMD void Gradient(const T* x, T* dx, int64_t n, C log_sum, C uniform, C scale) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const C g = CrossEntropyGradient<C>(Widen(x[i]), log_sum, false, C(0), uniform);
    dx[i] = Narrow<T>(scale * g);
  }
}

void CheckTarget(int64_t target, int64_t row, int64_t classes, const char* name) {
  if (target >= 0 && target < classes) return;
  throw DataError("target " + std::to_string(target) + " is not one of the " +
                      std::to_string(classes) + " classes",
                  std::string(name) + ", row " + std::to_string(row));
}

template <class T>
void Forward(const CrossEntropyForwardArgs& a) {
  using C = ComputeOf<T>;
  const int64_t n = a.classes;
  at::parallel_for(0, a.rows, RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.logits) + row * n;
      const MaxAndSum<C> scan = Scan<T, C>(x, n);
      const C log_sum = scan.largest + std::log(SumOfExp<T, C>(x, n, scan.largest));
      static_cast<C*>(a.log_sum)[row] = log_sum;
      const int64_t target = a.targets[row];
      C loss = 0;
      if (target != a.ignore_index) {
        CheckTarget(target, row, n, a.name);
        loss = CrossEntropyLoss<C>(log_sum, Widen(x[target]), scan.sum / static_cast<C>(n),
                                   static_cast<C>(a.smoothing));
      }
      static_cast<C*>(a.loss)[row] = loss;
    }
  });
}

template <class T>
void Backward(const CrossEntropyBackwardArgs& a) {
  using C = ComputeOf<T>;
  const int64_t n = a.classes;
  const C smoothing = static_cast<C>(a.smoothing), uniform = smoothing / static_cast<C>(n);
  at::parallel_for(0, a.rows, RowGrain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(a.logits) + row * n;
      T* dx = static_cast<T*>(a.dlogits) + row * n;
      const int64_t target = a.targets[row];
      if (target == a.ignore_index) {
        std::fill(dx, dx + n, Narrow<T>(C(0)));
        continue;
      }
      CheckTarget(target, row, n, a.name);
      const C log_sum = static_cast<const C*>(a.log_sum)[row];
      const C scale = static_cast<const C*>(a.dloss)[row];
      const C at_target =
          CrossEntropyGradient<C>(Widen(x[target]), log_sum, true, smoothing, uniform);
      Gradient<T, C>(x, dx, n, log_sum, uniform, scale);
      dx[target] = Narrow<T>(scale * at_target);
    }
  });
}

}  // namespace

void CrossEntropyForward(const CrossEntropyForwardArgs& args) {
  DispatchFloat(args.type, [&](auto t) { Forward<decltype(t)>(args); });
}

void CrossEntropyBackward(const CrossEntropyBackwardArgs& args) {
  DispatchFloat(args.type, [&](auto t) { Backward<decltype(t)>(args); });
}

}  // namespace orchard::nn
