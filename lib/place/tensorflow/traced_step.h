// What one traced step says of its nodes. Two parts of a RunMetadata fill it: StepStats, what ran,
// and CostGraphDef, what the runtime's own model of costs made of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "place/import/protobuf.h"

namespace orchard::place::tensorflow {

// Sums over the executions of a node within the step.
struct TracedNode {
  double host_us = 0, kernel_us = 0;
  bool timed = false, has_kernels = false;
  int64_t temp = 0, persistent = 0;  // bytes
  std::map<int32_t, int64_t> out;    // bytes by port

  // Keeps the largest; ports that no graph has are left out.
  void SetOutput(int64_t port, int64_t bytes);
};

using TracedStep = std::unordered_map<std::string, TracedNode>;

// Both throw DataError naming the byte. `bytes` is the message; copies between devices are left
// out.
void ReadStepStats(std::string_view bytes, const ProtobufSource& source, TracedStep& step);
// Fills what StepStats, which comes first, left open.
void ReadCostGraph(std::string_view bytes, const ProtobufSource& source, TracedStep& step);

// 0 to 2^60.
int64_t BoundedBytes(int64_t bytes);
// "name/_123": a copy that the runtime put in.
bool IsRuntimeCopy(std::string_view name);

}  // namespace orchard::place::tensorflow
