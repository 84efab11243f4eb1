// A linear programme in the form that first-order methods want: minimise cost . z subject to
// lower <= z <= upper and A z >= rhs.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace orchard::place {

inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// A sparse matrix by rows: entries of row r are [begin[r], begin[r + 1]).
struct SparseRows {
  std::vector<int32_t> begin = {0}, index;
  std::vector<double> value;

  int32_t size() const { return static_cast<int32_t>(begin.size()) - 1; }
  void Add(int32_t column, double coefficient) {
    index.push_back(column);
    value.push_back(coefficient);
  }
  void EndRow() { begin.push_back(static_cast<int32_t>(index.size())); }
};

// The same matrix by columns; entries of a column by increasing row.
SparseRows Transpose(const SparseRows& rows, int32_t columns);

struct LinearProgramme {
  std::vector<double> cost, lower, upper;  // of each column; bounds may be infinite
  SparseRows rows;
  std::vector<double> rhs;  // of each row

  int32_t columns() const { return static_cast<int32_t>(cost.size()); }
};

}  // namespace orchard::place
