// Scaling of a linear programme so that first-order steps of one size suit all rows and columns.
#pragma once

#include <vector>

#include "place/linear_programme.h"

namespace orchard::place {

// The scaled programme is D_r A D_c, with columns z = D_c z' and multipliers y = D_r y'.
struct ScaledProgramme {
  LinearProgramme programme;
  SparseRows columns;                           // of its matrix, by columns
  std::vector<double> row_scale, column_scale;  // the diagonals D_r and D_c
  double largest = 0;                           // entry of the scaled matrix
};

// Ruiz (2001), ten sweeps: rows and columns divided by the root of their largest entry; then Pock
// and Chambolle (2011): by the root of the sum of their entries.
ScaledProgramme Scale(const LinearProgramme& programme);

}  // namespace orchard::place
