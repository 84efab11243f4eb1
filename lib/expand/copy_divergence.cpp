#include "expand/copy_divergence.h"

#include "base/simd.h"
#include "expand/divergence_element.h"

namespace orchard::expand {
namespace {

constexpr int kLanes = 8;  // partial sums: a fixed order that still fills vector registers

template <class T>
ORCHARD_SIMD double PairDivergence(const T* u, const T* v, int64_t n) {
  double difference[kLanes] = {}, norm[kLanes] = {};
  for (int64_t i = 0; i < n / kLanes * kLanes; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double a = Widen(u[i + l]), d = a - static_cast<double>(Widen(v[i + l]));
      difference[l] += d * d;
      norm[l] += a * a;
    }
  }
  for (int64_t i = n / kLanes * kLanes; i < n; ++i) {
    const double a = Widen(u[i]), d = a - static_cast<double>(Widen(v[i]));
    difference[i % kLanes] += d * d;
    norm[i % kLanes] += a * a;
  }
  double total_difference = 0, total_norm = 0;
  for (int l = 0; l < kLanes; ++l) {
    total_difference += difference[l];
    total_norm += norm[l];
  }
  return DivergenceOf(total_difference, total_norm);
}

}  // namespace

void CopyDivergence(const CopyDivergenceArgs& a, ThreadPool& pool) {
  constexpr int64_t kPairs = 16;  // of one task
  pool.ForEach((a.pairs + kPairs - 1) / kPairs, [&](int64_t task) {
    const int64_t end = a.pairs < (task + 1) * kPairs ? a.pairs : (task + 1) * kPairs;
    for (int64_t p = task * kPairs; p < end; ++p) {
      DispatchFloat(a.type, [&](auto t) {
        const auto* matrix = static_cast<const decltype(t)*>(a.matrix);
        a.divergence[p] = PairDivergence(matrix + a.first[p] * a.columns,
                                         matrix + a.other[p] * a.columns, a.columns);
      });
    }
  });
}

}  // namespace orchard::expand
