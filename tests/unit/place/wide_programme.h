// A linear programme that takes every path of PDLP's kernels and their twin.
#pragma once

#include "place/linear_programme.h"

namespace orchard::place {

// Rows and columns with more entries than one thread sums, several chunks, several tasks.
inline LinearProgramme WideProgramme() {
  LinearProgramme lp;
  constexpr int32_t kColumns = 30000;
  for (int32_t j = 0; j < kColumns; ++j) {
    lp.cost.push_back(1 + j % 7);
    lp.lower.push_back(0);
    lp.upper.push_back(j % 3 == 0 ? kUnbounded : 2);
  }
  for (int32_t r = 0; r < 9000; ++r) {
    const int32_t entries = r % 1000 == 0 ? 777 : 3;
    for (int32_t k = 0; k < entries; ++k) lp.rows.Add((r * 31 + k * 17) % kColumns, 1 + k % 5);
    lp.rows.Add(0, 1);  // a long column
    lp.rows.EndRow();
    lp.rhs.push_back(1 + r % 4);
  }
  return lp;
}

}  // namespace orchard::place
