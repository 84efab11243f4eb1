// Biases and norm parameters: factor * x + offset, with padding.
#pragma once

#include <memory>

#include "base/philox.h"
#include "expand/block_runner.h"
#include "expand/op_sources.h"
#include "expand/tensor_op.h"

namespace orchard::expand {

// Throws DataError when a source has another length. `op` and `sources` must outlive the runner.
std::unique_ptr<BlockRunner> MakeVectorRunner(const OpSources& sources, const TensorOp& op,
                                              Philox2 key);

}  // namespace orchard::expand
