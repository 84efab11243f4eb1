// The execution simulator: when every operator and every transfer starts and ends, event by event.
//
// A device runs one operator at a time. A tensor goes once to each device that needs it, as soon as
// its operator has ended and the link is free: at once with Comm::kParallel; with kDuplex a device
// sends one and receives one at a time; with kHalf it does one of both. A transfer holds the
// sender's and the receiver's channel together for its whole length. Of the transfers that could
// start at one moment, the one whose producer comes first in topological order starts first, then
// the one on the producer's earlier edge (docs/methods/baechi-place.md).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

// Which ready task a free device takes.
enum class Dispatch {
  kOrder,    // the next of its given order, and waits for it
  kFifo,     // the one whose inputs were there first, ties by topological index
  kPriority  // the one with the smallest priority
};

// Simulates many placements of one graph; what a run needs is allocated once.
class Simulator {
 public:
  Simulator(const TaskGraph& tasks, const Cluster& cluster);

  // With kOrder, `order` lists all tasks so that each device's tasks stand as they are to run. With
  // kPriority, `priority` gives each task's. Returns the makespan; kNever when the order waits for
  // itself.
  Time Run(std::span<const int32_t> device, Dispatch dispatch, std::span<const int32_t> order = {},
           std::span<const int64_t> priority = {});

  // Of the last run.
  std::span<const Time> start() const { return start_; }
  std::span<const Time> end() const { return end_; }
  // All of the last run.
  Schedule Result() const;

 private:
  struct Event {
    Time time;
    int32_t id;  // a task, or -1 - transfer
    bool operator<(const Event& other) const { return time > other.time; }
  };
  struct Pending {  // a transfer and the chain of its uses
    int32_t tensor, src, dst;
    int32_t first_use = -1, last_use = -1;
    Time cost, start = 0, end = 0;
  };
  struct Waiting {  // smallest key first, then smallest tie
    int64_t key;
    int32_t tie, id;
    bool operator<(const Waiting& other) const {
      return key != other.key ? key > other.key : tie > other.tie;
    }
  };

  void Reset();
  void Push(Time time, int32_t id);
  void EndTask(int32_t task, Time now);
  void EndTransfer(int32_t transfer, Time now);
  void Arrive(int32_t task, Time now);
  void Send(int32_t tensor, int32_t use, int32_t src, int32_t dst, Time now);
  void StartTasks(Time now);
  void StartTransfers(Time now);
  int32_t Next(int32_t device);

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  int32_t devices_;
  std::vector<int32_t> edge_of_use_;  // of every position in edge_tensors

  std::span<const int32_t> device_;
  std::span<const int64_t> priority_;
  Dispatch dispatch_ = Dispatch::kOrder;
  std::vector<int32_t> missing_;  // inputs of each task that are not there yet
  std::vector<Time> start_, end_;
  std::vector<Event> events_;                // a heap
  std::vector<std::vector<int32_t>> queue_;  // kOrder: each device's tasks, reversed
  std::vector<std::vector<Waiting>> ready_;  // else: heaps
  std::vector<uint8_t> busy_, idle_changed_;
  std::vector<Pending> transfers_;
  std::vector<int32_t> transfer_of_;           // [tensor * devices + device], or -1
  std::vector<int32_t> next_use_;              // chains uses of one transfer
  std::vector<std::vector<Waiting>> waiting_;  // per [src * devices + dst]: heaps
  std::vector<uint8_t> sending_, receiving_;
  int32_t waiting_count_ = 0, done_ = 0;
};

}  // namespace orchard::place
