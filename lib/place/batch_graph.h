// A problem as the flat arrays that batches of candidate plans read.
#pragma once

#include <cstdint>
#include <vector>

#include "place/batch_simulate.h"
#include "place/plan.h"

namespace orchard::place {

struct BatchGraph {
  explicit BatchGraph(const Problem& problem);

  // Whether batches can simulate the problem: parallel links, at most 32 devices.
  static bool Supports(const Cluster& cluster);

  // The arguments that the graph fixes; candidates and results are the caller's. `memory`, when
  // given, is filled and the arguments point to it.
  BatchArgs Args(BatchMemory* memory = nullptr) const;

  int32_t ops = 0, devices = 0, links = 1, work_devices = 1;
  bool wide = false;
  std::vector<int32_t> in_begin, producer;
  // Times: one of the two widths is filled.
  std::vector<int32_t> work32, cost32;
  std::vector<int64_t> work64, cost64;
  // Memory.
  std::vector<int32_t> use_begin, used, tensor_begin;
  std::vector<int64_t> bytes, copy, perm, kept, fleeting, limit;
  std::vector<uint8_t> saved;

 private:
  void Times(const TaskGraph& tasks, const Cluster& cluster);
  void Memory(const Problem& problem);
};

}  // namespace orchard::place
