// The simulator's part for parameters on the host: what each device's link to it carries, and the
// updates that the host makes.
//
// A link carries one fetch and one gradient at a time, each way on its own and whatever the links
// between devices do. Fetches go in the order of the plan, each as soon as the link is free and the
// operator that it waits for has ended. A gradient goes when its update has all inputs, then the
// host makes the update, one at a time for all devices; among those that wait the one that was
// ready first comes first, ties by topological index.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "place/host_plan.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

class HostChannels {
 public:
  // All must outlive this; `device` is that of each task.
  HostChannels(const HostPlan& plan, const Graph& graph, const TaskGraph& tasks,
               const Cluster& cluster, std::span<const int32_t> device);

  bool OnHost(int32_t task) const { return plan_.on_host[task] != 0; }

  void TaskEnded(int32_t task) { ended_[task] = 1; }
  // An update has all its inputs on its device.
  void UpdateReady(int32_t task, Time now);
  // Starts what can start now.
  void Start(Time now);
  Time NextEnd() const;
  // Ends what ends now: `fetched` is told each reader whose parameters are there, `updated` each
  // update with its start.
  void End(Time now, const std::function<void(int32_t)>& fetched,
           const std::function<void(int32_t, Time)>& updated);

  // When each fetch and each gradient went, of a run that ended.
  const std::vector<std::vector<Span>>& fetches() const { return fetches_; }
  const std::vector<WriteBack>& write_backs() const { return write_backs_; }

 private:
  struct Waiting {
    Time ready;
    int32_t topo, task;
    bool operator<(const Waiting& other) const {
      return ready != other.ready ? ready < other.ready : topo < other.topo;
    }
  };
  struct Link {
    size_t next_fetch = 0;
    Time fetch_end = kNever, write_end = kNever;
    int32_t writing = -1;            // the update whose gradient goes
    std::vector<Waiting> gradients;  // that wait
  };
  static Waiting TakeFirst(std::vector<Waiting>& list);

  const HostPlan& plan_;
  const Graph& graph_;
  const TaskGraph& tasks_;
  const Cluster& cluster_;
  std::span<const int32_t> device_;
  std::vector<uint8_t> ended_;
  std::vector<Link> links_;
  std::vector<Waiting> updates_;  // whose gradients are on the host
  int32_t updating_ = -1;
  Time update_start_ = 0, update_end_ = kNever;
  std::vector<std::vector<Span>> fetches_;
  std::vector<WriteBack> write_backs_;
};

}  // namespace orchard::place
