#include "expand/row_mean.h"

#include <algorithm>

#include "base/simd.h"

namespace orchard::expand {
namespace {

constexpr int64_t kColumns = 512;  // of one task: their sums stay in the first-level cache

template <class T>
ORCHARD_SIMD void AddRow(const T* row, double weight, double* sum, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += weight * static_cast<double>(Widen(row[i]));
}

template <class T>
void Columns(const RowMeanArgs& a, int64_t begin, int64_t end) {
  double* sum = a.mean + begin;
  std::fill(sum, a.mean + end, 0.0);
  for (int64_t r = 0; r < a.rows; ++r) {
    AddRow(static_cast<const T*>(a.matrix) + r * a.columns + begin,
           a.weights == nullptr ? 1.0 : a.weights[r], sum, end - begin);
  }
  for (int64_t i = 0; i < end - begin; ++i) sum[i] = a.scale * sum[i] / static_cast<double>(a.rows);
}

}  // namespace

void RowMean(const RowMeanArgs& args, ThreadPool& pool) {
  const int64_t tasks = (args.columns + kColumns - 1) / kColumns;
  pool.ForEach(tasks, [&](int64_t task) {
    const int64_t begin = task * kColumns, end = std::min(args.columns, begin + kColumns);
    DispatchFloat(args.type, [&](auto t) { Columns<decltype(t)>(args, begin, end); });
  });
}

}  // namespace orchard::expand
