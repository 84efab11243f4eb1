// Memory over time: what every device holds at every moment of a schedule.
//
// A device holds, all the time, the parameters of its operators (with gradients and optimiser
// states when training); the scratch of the operator that runs; every output from the start of its
// operator to the end of its last reader there and of its last copy to elsewhere; and every copy
// from the start of its transfer to the end of its last reader. An output that nobody reads lives
// until its operator ends. When training, what is saved for the backward pass stays.
//
// Parameters on the host (host_plan.h) are on their device from the start of a fetch to the end of
// its last reader, where they are outputs at the same time of the outputs' last reader; a gradient
// stays until it is on the host.
//
// The graph of a training step (training_step.h) has its backward pass in it, so what is saved
// lives until the backward operators that read it end. Gradients of one tensor are added up where
// the tensor was made: the first one there lives until its reader ends, each other one until its
// operator, or its transfer, ends.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/fields.h"
#include "place/cluster.h"
#include "place/graph.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

enum class Mode { kInfer, kTrain };
inline constexpr cli::EnumName<Mode> kModeNames[] = {{"infer", Mode::kInfer},
                                                     {"train", Mode::kTrain}};
constexpr auto EnumNames(Mode) { return std::span(kModeNames); }

enum class Optimizer { kNone, kSgd, kMomentum, kAdam };
inline constexpr cli::EnumName<Optimizer> kOptimizerNames[] = {{"none", Optimizer::kNone},
                                                               {"sgd", Optimizer::kSgd},
                                                               {"momentum", Optimizer::kMomentum},
                                                               {"adam", Optimizer::kAdam}};
constexpr auto EnumNames(Optimizer) { return std::span(kOptimizerNames); }

struct MemoryOptions {
  Mode mode = Mode::kInfer;
  Optimizer optimizer = Optimizer::kAdam;  // with kTrain; kNone: parameters alone
  int64_t rounding = 512;                  // an allocator hands out multiples of this
};

// What the operators of a graph allocate.
class MemorySizes {
 public:
  MemorySizes(const Graph& graph, const MemoryOptions& options);

  struct Buffer {
    int32_t op;
    int64_t bytes;
    bool saved;           // until the end of the step
    int32_t sum = -1;     // of a training step: which sum of gradients it is added to
    int32_t reader = -1;  // of that sum; all are on one device
  };
  std::vector<int64_t> perm, temp;        // of each operator
  std::vector<int64_t> fetched;           // its parameters alone
  std::vector<uint8_t> perm_is_output;    // of each operator
  std::vector<Buffer> buffers;            // outputs
  std::vector<int32_t> buffer_of_tensor;  // -1: a control edge
  std::vector<int64_t> copy_bytes;        // of each tensor on another device

  int32_t sums = 0;  // of gradients

  // Bytes that operators hold for the whole step: parameters and saved outputs.
  std::vector<int64_t> Resident() const;
  // The most that any placement can need on one device: everything there at once, scratch once.
  int64_t Everything() const;
};

struct MemoryUse {
  std::vector<int64_t> peak;  // of each device
  std::vector<Time> peak_time;
  // Of each device: (time, bytes from then on). Filled when asked for.
  std::vector<std::vector<std::pair<Time, int64_t>>> curve;
};

// `tasks` has one task per operator. Transfers of the schedule must be there.
MemoryUse ReplayMemory(const MemorySizes& sizes, const TaskGraph& tasks, const Schedule& schedule,
                       int32_t devices, bool curves = false);

// By how much `peak` exceeds the devices' memory, summed.
int64_t Excess(const std::vector<int64_t>& peak, const Cluster& cluster);

}  // namespace orchard::place
