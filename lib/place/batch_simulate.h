// Many candidate plans of one graph at once: makespan, and an estimate of the memory over the
// limits.
//
// Candidates come in blocks of 32 that share an order of all operators, a topological one, and
// differ in devices: a plan and the moves that a search considers. A block is a warp on the GPU and
// a few vectors on the CPU. Each operator starts when its device has done all that comes before it
// in the order and its inputs are there; tensors travel at once, or with BatchLinks as the channels
// let them (place/batch_links_element.h), each candidate event by event. That is what Simulator
// gives with Dispatch::kOrder, to the nanosecond.
//
// The memory estimate takes the order for time: a copy exists from its producer on, and an output
// goes when its last reader in the order has run; gradients that a training step adds up count one
// by one. ReplayMemory is the truth, and decides.
//
// This header is read by CUDA code: C++17.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace orchard::place {

inline constexpr int32_t kBatchLanes = 32;
inline constexpr int32_t kMaxBatchDevices = 32;

// What memory the operators and tensors of the graph take. Tensors are numbered by producer.
struct BatchMemory {
  int32_t tensors = 0;
  const int32_t* use_begin = nullptr;     // [edges + 1]: tensors of an edge are used[use_begin[e]..
  const int32_t* used = nullptr;          // [uses]
  const int32_t* tensor_begin = nullptr;  // [ops + 1]: tensors of operator i
  const int64_t* bytes = nullptr;         // [tensors] of the original; 0 when it is saved
  const int64_t* copy = nullptr;          // [tensors] of a copy
  const uint8_t* saved = nullptr;         // [tensors] copies stay until the end of the step
  const int64_t* perm = nullptr;          // [ops] held all the time
  const int64_t* kept = nullptr;          // [ops] held from the operator on: saved outputs
  const int64_t* fleeting = nullptr;      // [ops] held while it runs: scratch, unread outputs
  const int64_t* limit = nullptr;         // [devices]
  uint32_t* readers = nullptr;            // [blocks, tensors, lanes], for the kernel only
  int64_t* excess = nullptr;              // [blocks, lanes] out: bytes over the limits, summed
};

// The transfers, where links are exclusive. A use is a tensor read by an operator; uses are
// numbered by the topological index of the producer, then by its edges.
struct BatchLinks {
  bool half = false;  // a device sends or receives; else both at once
  int32_t uses = 0, tensors = 0;
  const int32_t* use_begin = nullptr;  // [ops] uses of what operator i makes: [use_begin[i],
  const int32_t* use_end = nullptr;    // [ops] use_end[i])
  const int32_t* producer = nullptr;   // [uses]
  const int32_t* reader = nullptr;     // [uses]
  const int32_t* tensor = nullptr;     // [uses]
  const void* cost = nullptr;          // [uses, links]
  const int32_t* inputs = nullptr;     // [ops] uses by operator i
  int32_t* missing = nullptr;          // [blocks, ops, lanes], for the kernel only, as the next two
  int32_t* waiting = nullptr;          // [blocks, uses, lanes]
  uint32_t* sent = nullptr;            // [blocks, tensors, lanes]
};

// Pointers to arrays of Time-like integers are int64_t where `wide`, else int32_t.
struct BatchArgs {
  int32_t ops = 0, devices = 0;
  bool wide = true;
  int64_t blocks = 0;
  // The graph. Edges into operator i are [in_begin[i], in_begin[i + 1]).
  const int32_t* in_begin = nullptr;  // [ops + 1]
  const int32_t* producer = nullptr;  // [edges]
  int32_t links = 1;                  // 1, or devices^2 with costs for every pair
  const void* cost = nullptr;         // [edges, links]
  int32_t work_devices = 1;           // 1, or devices with times for each
  const void* work = nullptr;         // [ops, work_devices]
  // The candidates.
  const int32_t* order = nullptr;       // [blocks, ops]
  const uint8_t* device = nullptr;      // [blocks, ops, lanes]
  void* end = nullptr;                  // [blocks, ops, lanes], for the kernel only
  int64_t* makespan = nullptr;          // [blocks, lanes] out
  const BatchMemory* memory = nullptr;  // null: limits do not matter
  const BatchLinks* shared = nullptr;   // null: links are parallel
};

// The CPU twin of cuda/place/batch_simulate.h, with the same results.
void BatchSimulate(const BatchArgs& args, ThreadPool& pool);

}  // namespace orchard::place
