// The execution simulator: when every operator and every transfer starts and ends, event by event.
//
// A device runs one operator at a time. A tensor goes once to each device that needs it, as soon as
// its operator has ended and the link is free: at once with Comm::kParallel; with kDuplex a device
// sends one and receives one at a time; with kHalf it does one of both. A transfer holds the
// sender's and the receiver's channel together for its whole length. Of the transfers that could
// start at one moment, the one whose producer comes first in topological order starts first, then
// the one on the producer's earlier edge (docs/methods/baechi-place.md).
//
// How it is fast. What can end next is one operator per device and, where links are exclusive, one
// transfer per sender: the next event is the least of a short array. Operators that are ready wait
// in the order of their arrival (a list) or of their rank (RankSet); there is a heap only for
// transfers that wait for a channel, and with parallel links for operators whose inputs are on
// their way.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "place/cluster.h"
#include "place/host_channels.h"
#include "place/rank_set.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

// Which ready task a free device takes.
enum class Dispatch {
  kOrder,    // the next of its given order, and waits for it
  kFifo,     // the one whose inputs were there first, ties by topological index
  kPriority  // the one with the smallest priority, ties by topological index
};

// Simulates many placements of one graph; what a run needs is allocated once.
class Simulator {
 public:
  Simulator(const TaskGraph& tasks, const Cluster& cluster);

  // With kOrder, `order` lists all tasks so that each device's tasks stand as they are to run. With
  // kPriority, `priority` gives each task's; empty: the ranks as they are. Returns the makespan;
  // kNever when the order waits for itself. A run whose makespan must exceed `limit` may be given
  // up, and is kNever then.
  Time Run(std::span<const int32_t> device, Dispatch dispatch, std::span<const int32_t> order = {},
           std::span<const int64_t> priority = {}, Time limit = kNever);

  // With parameters on the host. `order` lists all tasks but the updates that the host makes; tasks
  // are the operators of `graph`.
  Time RunWithHost(std::span<const int32_t> device, std::span<const int32_t> order,
                   const Graph& graph, std::shared_ptr<const HostPlan> host);

  // The ranks of kPriority, each in [0, tasks) once. Runs with a priority set them.
  void SetRanks(std::span<const int32_t> rank);
  std::span<const int32_t> ranks() const { return rank_; }
  std::span<const int32_t> by_rank() const { return of_rank_; }
  void SwapRanks(int32_t task, int32_t other);

  // Of the last run that ended; `device` of that run must still be there.
  std::span<const Time> start() const { return start_; }
  std::span<const Time> end() const { return end_; }
  // All of it; without the devices' orders where those are not needed.
  Schedule Result(bool with_order = true) const;

 private:
  struct Use {  // of a tensor by a task
    int32_t task, tensor;
    Time cost;  // of sending it, where all links are alike
  };
  struct Pending {  // a transfer and the chain of its uses
    int32_t tensor, src, dst;
    int32_t first_use, last_use;
    Time cost, start, end;
  };
  struct Waiting {  // for a channel; smallest key first
    int64_t key;    // topological index of the producer, then the use
    int32_t transfer;
    bool operator<(const Waiting& other) const { return key > other.key; }
  };
  struct Coming {  // a task whose inputs will all be there
    Time time;
    int32_t task;
    bool operator<(const Coming& other) const { return time > other.time; }
  };
  // Tasks of one device in the order in which they became ready.
  struct Queue {
    int32_t head, tail;
    int32_t before;  // the task before those that became ready at `time`, -1: none
    Time time;
  };

  static constexpr int64_t kNoKey = INT64_MAX;

  void Reset();
  bool Tails(Time limit);
  Time Simulate(std::span<const int32_t> device, Dispatch dispatch, std::span<const int32_t> order,
                std::span<const int64_t> priority, Time limit);
  Time WorkOf(int32_t task, int32_t device) const {
    return work_[work_devices_ == 1 ? task : static_cast<size_t>(task) * work_devices_ + device];
  }
  void Rank(std::span<const int64_t> priority);
  void Chain(std::span<const int32_t> order);
  template <bool kShared>
  Time Loop(Time limit);
  template <bool kShared>
  void EndTask(int32_t task, Time now);
  void EndTransfer(int32_t src, Time now);
  void EndHost(Time now);
  void Ready(int32_t task, Time now);
  void Enqueue(Queue& queue, int32_t task, Time now);
  void Send(int32_t use, int32_t src, int32_t dst);
  bool StartTasks(Time now, Time limit);
  void StartTransfers(Time now);
  int32_t Next(int32_t device, Time now);
  void ParallelTransfers(const std::vector<int32_t>& tasks, std::vector<Transfer>& transfers) const;
  Time Cost(const Use& use, int32_t src, int32_t dst) const {
    return alike_ ? use.cost : tasks_.Cost(cluster_, use.tensor, src, dst);
  }

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  int32_t devices_;
  bool alike_;                           // links
  std::vector<Use> uses_;                // as edge_tensors: by producer
  std::vector<int32_t> use_begin_;       // [tasks + 1]
  std::vector<int32_t> backwards_;       // tasks, each behind its readers
  std::vector<int32_t> inputs_;          // uses by each task
  std::vector<Time> work_;               // [tasks * work_devices_]
  int32_t work_devices_;                 // 1 or devices
  std::vector<int64_t> ranked_;          // priorities that `rank_` is of
  std::vector<int32_t> rank_, of_rank_;  // of tasks

  std::span<const int32_t> device_;
  Dispatch dispatch_ = Dispatch::kOrder;
  std::vector<int32_t> missing_;  // uses of each task that are not there yet
  std::vector<Time> start_, end_;
  std::vector<Time> there_;       // with parallel links: when the last input so far arrives
  std::vector<Coming> coming_;    // a heap
  std::vector<Queue> queue_;      // kOrder, kFifo
  std::vector<int32_t> next_;     // in a queue
  std::vector<RankSet> ready_;    // kPriority
  std::vector<uint8_t> look_;     // devices that may have something new to start
  std::vector<int32_t> running_;  // task on each device
  std::vector<int32_t> ran_;      // tasks as they started, ran_count_ of them
  int32_t ran_count_ = 0;
  std::vector<Time> task_end_;  // when it ends; kNever: free
  std::vector<Time> left_;      // work of each device that has not started
  std::vector<Time> tail_;      // least time from each task's start to the end of all, with a limit
  std::vector<Pending> transfers_;             // with exclusive links
  std::vector<int32_t> transfer_of_;           // [tensor * devices + device], or -1
  std::vector<int32_t> next_use_;              // chains uses of one transfer
  std::vector<std::vector<Waiting>> waiting_;  // per [src * devices + dst]: heaps
  std::vector<int64_t> first_;                 // key of the first of each, kNoKey: none
  std::vector<int32_t> sending_;               // transfer of each sender
  std::vector<Time> transfer_end_;             // when it ends; kNever: none
  std::vector<uint8_t> send_busy_, receive_busy_;
  std::shared_ptr<const HostPlan> host_plan_;
  std::optional<HostChannels> host_;  // with parameters on the host
  bool channels_changed_ = false;
  int32_t waiting_count_ = 0, done_ = 0;
};

}  // namespace orchard::place
