#include "expand/expand_matrix.h"

#include <vector>

namespace orchard::expand {
namespace {

// Where the element of flat index `index` is written; null when it is not wanted.
template <class T>
T* Written(const ExpandMatrixArgs& a, const MatrixLayout& to, int64_t i, int64_t c, int64_t index) {
  const UnitRange range = UnitsOf(a);
  if (!range.Has(a.transposed ? c : i)) return nullptr;
  return static_cast<T*>(a.target) + (index - to.FirstOf(range.begin));
}

template <class T>
void SplitWeight(const ExpandMatrixArgs& a, const MatrixLayout& to, int64_t i, int64_t j, int64_t p,
                 ComputeOf<T> w) {
  using Real = ComputeOf<T>;
  const SplitSettings<Real> settings = MakeSplitSettings<Real>(GridOf<T>(), a.sigma);
  const int32_t* targets = a.column_targets + a.column_first[j];
  const int32_t copies = a.column_first[j + 1] - a.column_first[j];
  uint64_t index[kMaxCopies];
  for (int32_t k = 0; k < copies; ++k) index[k] = static_cast<uint64_t>(to.At(i, targets[k], p));
  for (int32_t k = 0; k < copies; ++k) {
    T* out = Written<T>(a, to, i, targets[k], static_cast<int64_t>(index[k]));
    if (!out) continue;
    *out = Narrow<T>(SplitElement<Real>(a.split, settings, a.key, copies, k, index, w));
  }
}

template <class T>
void PadRow(const ExpandMatrixArgs& a, const MatrixLayout& to, int64_t i, int64_t p) {
  using Real = ComputeOf<T>;
  const Real unit = static_cast<Real>(a.pad_sigma * kWeightNoiseUnit);
  const auto noise = [&](int64_t n) {
    return WeightNoise(a.key, static_cast<uint64_t>(to.At(i, a.pads[n], p)));
  };
  int64_t sum = 0;
  for (int64_t n = 0; n < a.pad_count && a.pad_fill == PadFill::kCentredNoise; ++n) sum += noise(n);
  for (int64_t n = 0; n < a.pad_count; ++n) {
    T* out = Written<T>(a, to, i, a.pads[n], to.At(i, a.pads[n], p));
    if (!out) continue;
    Real value = 0;
    if (a.pad_fill == PadFill::kNoise) value = unit * static_cast<Real>(noise(n));
    if (a.pad_fill == PadFill::kCentredNoise) {
      value = CentredPadElement(unit, noise(n), sum, a.pad_count);
    }
    *out = Narrow<T>(value);
  }
}

template <class T>
void Run(const ExpandMatrixArgs& a) {
  using Real = ComputeOf<T>;
  const MatrixLayout from{a.transposed, a.source_rows, a.source_columns, a.passengers};
  const MatrixLayout to{a.transposed, a.target_rows, a.target_columns, a.passengers};
  const UnitRange range = UnitsOf(a);
  for (int64_t i = 0; i < a.target_rows; ++i) {
    if (!a.transposed && !range.Has(i)) continue;
    for (int64_t p = 0; p < a.passengers; ++p) {
      for (int64_t j = 0; j < a.source_columns; ++j) {
        Real w = 0;
        if (a.rows[i] >= 0) {
          w = Widen(static_cast<const T*>(a.source)[from.At(a.rows[i], j, p)]);
        } else if (a.mean_row != nullptr) {
          w = Widen(static_cast<const T*>(a.mean_row)[j * a.passengers + p]);
        }
        SplitWeight<T>(a, to, i, j, p, w);
      }
      PadRow<T>(a, to, i, p);
    }
  }
}

}  // namespace

ColumnTables MakeColumnTables(int64_t source_columns, const std::vector<int64_t>& entries) {
  ColumnTables tables;
  tables.first.assign(static_cast<size_t>(source_columns) + 1, 0);
  for (const int64_t j : entries) {
    if (j >= 0) ++tables.first[j + 1];
  }
  for (int64_t j = 0; j < source_columns; ++j) tables.first[j + 1] += tables.first[j];
  tables.targets.resize(static_cast<size_t>(tables.first.back()));
  std::vector<int32_t> next(tables.first.begin(), tables.first.end() - 1);
  for (size_t c = 0; c < entries.size(); ++c) {
    if (entries[c] < 0) {
      tables.pads.push_back(static_cast<int32_t>(c));
    } else {
      tables.targets[next[entries[c]]++] = static_cast<int32_t>(c);
    }
  }
  return tables;
}

void ExpandMatrix(const ExpandMatrixArgs& args) {
  DispatchFloat(args.type, [&](auto t) { Run<decltype(t)>(args); });
}

}  // namespace orchard::expand
