// How far copies of one unit have moved apart: |u - u'| / |u| for pairs of rows, the measure of
// broken symmetry.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "base/thread_pool.h"

namespace orchard::expand {

struct CopyDivergenceArgs {
  const char* name = "matrix";  // what errors call it
  FloatType type = FloatType::kF32;
  int64_t rows = 0, columns = 0;
  int64_t pairs = 0;
  const void* matrix = nullptr;    // [rows, columns]: fan-in of each unit
  const int64_t* first = nullptr;  // [pairs] row u
  const int64_t* other = nullptr;  // [pairs] row u'
  double* divergence = nullptr;    // [pairs]; 0 where both rows are zero
};

void CopyDivergence(const CopyDivergenceArgs& args, ThreadPool& pool);

}  // namespace orchard::expand
