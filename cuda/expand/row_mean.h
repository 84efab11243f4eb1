// The mean over the rows of a matrix in device memory, in f64. CPU twin: expand/row_mean.h, which
// gives the same bits.
#pragma once

#include "cuda/base/launch.h"
#include "expand/row_mean.h"

namespace orchard::cuda {

// Enqueues and returns. Throws UsageError for arguments that do not fit, ResourceError or Error
// when the launch fails.
void RowMean(const expand::RowMeanArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
