#include "place/linear_programme.h"

namespace orchard::place {

SparseRows Transpose(const SparseRows& rows, int32_t columns) {
  SparseRows result;
  result.begin.assign(columns + 1, 0);
  for (int32_t column : rows.index) ++result.begin[column + 1];
  for (int32_t j = 0; j < columns; ++j) result.begin[j + 1] += result.begin[j];
  result.index.resize(rows.index.size());
  result.value.resize(rows.value.size());
  std::vector<int32_t> next(result.begin.begin(), result.begin.end() - 1);
  for (int32_t r = 0; r < rows.size(); ++r) {
    for (int32_t k = rows.begin[r]; k < rows.begin[r + 1]; ++k) {
      const int32_t at = next[rows.index[k]]++;
      result.index[at] = r;
      result.value[at] = rows.value[k];
    }
  }
  return result;
}

}  // namespace orchard::place
