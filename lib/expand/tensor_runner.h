// Carries out one TensorOp, a block of rows at a time, from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "expand/tensor_op.h"
#include "io/safetensors.h"

namespace orchard::expand {

struct RunnerOptions {
  uint64_t seed = 0;
  bool allow_nonfinite = false;
};

class TensorRunner {
 public:
  // Checks that the sources have the shapes that the op expects. Throws DataError naming the
  // tensor.
  TensorRunner(const io::Checkpoint& source, const TensorOp& op, RunnerOptions options);
  ~TensorRunner();

  // Units [begin, end) of `op.block_units()` into `out`, which holds exactly their bytes. The bytes
  // depend on the op and the seed alone. Throws DataError (tensor, element) on NaN or infinity in
  // the source unless they are allowed.
  void Run(int64_t begin, int64_t end, std::span<std::byte> out) const;

  // Largest relative difference between a stored value and what it stands for, over the blocks run
  // so far; 0 for exact ops.
  double largest_rounding() const;

  class Worker;  // one per stored type

 private:
  std::unique_ptr<Worker> worker_;
};

}  // namespace orchard::expand
