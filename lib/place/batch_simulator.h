// Candidate plans of one problem, simulated in batches where it is fastest: by the CPU's threads or
// by a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "place/batch_graph.h"
#include "place/plan.h"

namespace orchard::place {

// Blocks of candidates (place/batch_simulate.h). Fill orders and devices, run, read the results.
class BatchSimulator {
 public:
  // Room for `blocks` blocks of kBatchLanes candidates. On CUDA device `cuda` when given; throws
  // ResourceError: no such device, no memory, or a build without kernels. BatchGraph::Supports must
  // hold.
  BatchSimulator(const Problem& problem, int64_t blocks, int threads,
                 std::optional<int> cuda = std::nullopt);
  ~BatchSimulator();
  BatchSimulator(const BatchSimulator&) = delete;
  BatchSimulator& operator=(const BatchSimulator&) = delete;

  int64_t blocks() const;
  // All operators, each behind its producers. Call OrderChanged() after writing.
  std::span<int32_t> Order(int64_t block);
  void OrderChanged();
  // Device of every operator, [ops, lanes].
  std::span<uint8_t> Devices(int64_t block);

  // Simulates the first `blocks` blocks.
  void Run(int64_t blocks);
  // Of all candidates, [blocks, lanes]: makespan in nanoseconds; bytes over the limits by the
  // estimate of place/batch_simulate.h, zero where memory cannot bind.
  std::span<const int64_t> makespan() const;
  std::span<const int64_t> excess() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::place
