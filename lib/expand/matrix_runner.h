// EXPAND-LINEAR (LEMON, sec. 3) on matrices in files: blocks of stored rows, from the stored rows
// of the sources.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/philox.h"
#include "expand/block_runner.h"
#include "expand/op_sources.h"
#include "expand/tensor_op.h"

namespace orchard::expand {

class MatrixRunner : public BlockRunner {
 public:
  // Checks the shapes of the sources. Throws DataError, or ImpossibleError for more than kMaxCopies
  // copies. `op` and `sources` must outlive the runner.
  static std::unique_ptr<MatrixRunner> Make(const OpSources& sources, const TensorOp& op,
                                            Philox2 key);

  // ---- for a caller that computes elsewhere (a GPU: cuda/expand/expand_matrix.h) and wants the
  // same bytes

  // Standard deviation of the split noise. Reads the sources once where it is relative to them.
  virtual double sigma() = 0;
  // Stored source rows [begin, end) of the map's units (of the inputs, when transposed), all
  // sources of an op side by side: in the target's dtype, multiplied by the op's scale and rounded,
  // checked for NaN and infinity. `room` holds exactly their bytes.
  virtual void SourceRows(int64_t begin, int64_t end, std::span<std::byte> room) = 0;
  // [in, passengers] in the target's dtype: what padding rows are split from when they are the mean
  // of the rows. Empty when they are not. Reads the source once.
  virtual std::span<const std::byte> MeanRow() = 0;
};

}  // namespace orchard::expand
