// Weighted sums of source units and of source tensors: LiGO's initialisation.
#pragma once

#include <memory>

#include "expand/block_runner.h"
#include "expand/op_sources.h"
#include "expand/tensor_op.h"

namespace orchard::expand {

// Throws DataError when a source has another size. `op` and `sources` must outlive the runner.
std::unique_ptr<BlockRunner> MakeMixRunner(const OpSources& sources, const TensorOp& op);

}  // namespace orchard::expand
