// EXPAND-LINEAR on a matrix in device memory; all pointers of the arguments are device pointers.
// CPU twins: expand/expand_matrix.h, element by element, and expand/tensor_runner.h; the bytes are
// the same.
#pragma once

#include "cuda/base/launch.h"
#include "expand/expand_matrix.h"

namespace orchard::cuda {

// Enqueues and returns. Values that are not finite are copied to all parts, as on the CPU; checking
// for them is the caller's. Throws UsageError for arguments that do not fit, ResourceError or Error
// when a launch fails.
void ExpandMatrix(const expand::ExpandMatrixArgs& args, cudaStream_t stream);

}  // namespace orchard::cuda
