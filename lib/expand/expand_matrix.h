// EXPAND-LINEAR on one matrix that lies in memory: the arguments of the CUDA launcher
// (cuda/expand/expand_matrix.h) and its CPU twin, which goes element by element. Files are expanded
// by expand/tensor_runner.h; all three give the same bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "base/half.h"
#include "base/philox.h"
#include "expand/element.h"

namespace orchard::expand {

// What padding columns hold; the values of ColumnPad in expand/tensor_op.h.
enum class PadFill : uint8_t { kNoise, kCentredNoise, kZero };

// Where the copies of each source column stand, as flat tables that a kernel can read.
struct ColumnTables {
  std::vector<int32_t>
      first;  // [source columns + 1]: copies of column j are targets[first[j] .. first[j + 1])
  std::vector<int32_t> targets;  // target columns, ascending for each source column
  std::vector<int32_t> pads;     // target columns that copy nothing, ascending
};

// `entries[c]` is the source column of target column c, or -1.
ColumnTables MakeColumnTables(int64_t source_columns, const std::vector<int64_t>& entries);

// Stored [out, in, passengers], or [in, out] when transposed (then passengers is 1).
struct ExpandMatrixArgs {
  const char* name = "matrix";  // what errors call it
  FloatType type = FloatType::kBF16;
  bool transposed = false;
  int64_t passengers = 1;
  int64_t source_rows = 0, source_columns = 0;
  int64_t target_rows = 0, target_columns = 0;
  Split split = Split::kGrid;
  PadFill pad_fill = PadFill::kNoise;
  double sigma = 0;      // of the split noise
  double pad_sigma = 0;  // of padding columns
  Philox2 key = {};
  const void* source = nullptr;
  const void* mean_row = nullptr;  // [in, passengers] what padding rows are split from; null: zeros
  const int32_t* rows = nullptr;   // [target_rows] source row, or -1 for padding
  const int32_t* column_first = nullptr;    // ColumnTables::first
  const int32_t* column_targets = nullptr;  // ColumnTables::targets
  const int32_t* pads = nullptr;            // ColumnTables::pads
  int64_t pad_count = 0;
  int32_t most_copies = 1;  // of one source column, at most kMaxCopies
  // Only units [first_unit, first_unit + units) of the target are written, and `target` points to
  // the first of them: rows, or inputs when transposed. Noise stays that of the whole matrix.
  int64_t first_unit = 0;
  int64_t units = 0;  // 0: all
  void* target = nullptr;
};

// The units to be written: all when `units` is 0.
struct UnitRange {
  int64_t begin, end;
  ORCHARD_HD bool Has(int64_t unit) const { return unit >= begin && unit < end; }
};
ORCHARD_HD UnitRange UnitsOf(const ExpandMatrixArgs& a) {
  const int64_t all = a.transposed ? a.target_columns : a.target_rows;
  return {a.first_unit, a.units == 0 ? all : a.first_unit + a.units};
}

// Source and target addresses of an element.
struct MatrixLayout {
  bool transposed;
  int64_t rows, columns, passengers;

  // Row i, column c, passenger p.
  ORCHARD_HD int64_t At(int64_t i, int64_t c, int64_t p) const {
    return transposed ? c * rows + i : (i * columns + c) * passengers + p;
  }

  // First element of a unit.
  ORCHARD_HD int64_t FirstOf(int64_t unit) const {
    return unit * (transposed ? rows : columns * passengers);
  }
};

void ExpandMatrix(const ExpandMatrixArgs& args);

}  // namespace orchard::expand
