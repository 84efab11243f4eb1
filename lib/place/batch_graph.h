// A problem as the flat arrays that batches of candidate plans read.
#pragma once

#include <cstdint>
#include <vector>

#include "place/batch_simulate.h"
#include "place/plan.h"

namespace orchard::place {

struct BatchGraph {
  explicit BatchGraph(const Problem& problem);

  // Whether batches can simulate the problem: at most 32 devices.
  static bool Supports(const Cluster& cluster);

  // The arguments that the graph fixes; candidates and results are the caller's. `shared` and
  // `memory`, when given, are filled and the arguments point to them; `shared` must be given where
  // links are exclusive.
  BatchArgs Args(BatchLinks* shared, BatchMemory* memory) const;

  int32_t ops = 0, devices = 0, links = 1, work_devices = 1;
  bool wide = false;
  Comm comm;
  std::vector<int32_t> in_begin, producer;
  // Times: one of the two widths is filled.
  std::vector<int32_t> work32, cost32;
  std::vector<int64_t> work64, cost64;
  // Transfers, where links are exclusive; costs as above.
  std::vector<int32_t> first_use, last_use, use_producer, use_reader, use_tensor, inputs;
  std::vector<int32_t> use_cost32;
  std::vector<int64_t> use_cost64;
  int32_t all_tensors = 0;
  // Memory.
  std::vector<int32_t> use_begin, used, tensor_begin;
  std::vector<int64_t> bytes, copy, perm, kept, fleeting, limit;
  std::vector<uint8_t> saved;

 private:
  int64_t Times(const TaskGraph& tasks, const Cluster& cluster);
  int64_t Uses(const TaskGraph& tasks, const Cluster& cluster);
  void Narrow(int64_t latest);
  void Memory(const Problem& problem);
};

}  // namespace orchard::place
