// Carries out one TensorOp, a block of rows at a time, from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/philox.h"
#include "expand/tensor_op.h"
#include "io/safetensors.h"

namespace orchard::expand {

class BlockRunner;
class MatrixRunner;
class OpSources;

struct RunnerOptions {
  uint64_t seed = 0;
  bool allow_nonfinite = false;
};

class TensorRunner {
 public:
  // Checks that the sources have the shapes that the op expects. Throws DataError naming the
  // tensor. `source` must outlive the runner.
  TensorRunner(const io::Checkpoint& source, const TensorOp& op, RunnerOptions options);
  ~TensorRunner();

  // The bytes of units [begin, end) of `op.block_units()`: in `room`, which holds exactly as many,
  // or in the mapped source where it has the same ones. They depend on the op and the seed alone.
  // Throws DataError (tensor, element) on NaN or infinity in the source unless they are allowed.
  std::span<const std::byte> Block(int64_t begin, int64_t end, std::span<std::byte> room) const;

  // The same, always into `out`.
  void Run(int64_t begin, int64_t end, std::span<std::byte> out) const;

  // Largest relative difference between a stored value and what it stands for, over the blocks run
  // so far; 0 for exact ops.
  double largest_rounding() const;

  // The key of the op's random numbers.
  Philox2 key() const { return key_; }
  // What a GPU needs of a matrix (expand/matrix_runner.h); nullptr for other ops.
  MatrixRunner* matrix() const { return matrix_; }

 private:
  TensorOp op_;
  Philox2 key_;
  std::unique_ptr<OpSources> sources_;
  std::unique_ptr<BlockRunner> runner_;
  MatrixRunner* matrix_ = nullptr;
};

}  // namespace orchard::expand
