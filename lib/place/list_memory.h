// The memory bookkeeping of a list scheduler: what may be placed where, in four models.
#pragma once

#include <cstdint>
#include <vector>

#include "place/cluster.h"
#include "place/list_scheduler.h"
#include "place/task_graph.h"

namespace orchard::place {

class ListMemory {
 public:
  ListMemory(const TaskGraph& tasks, const Cluster& cluster, const ListOptions& options);

  // Bytes that must be free on a device for `task`, whose group is there already or not.
  int64_t Need(int32_t task, bool group_is_there) const;
  int64_t Free(int32_t device) const { return limit_[device] - used_[device]; }
  bool Fits(int32_t task, int32_t device, bool group_is_there) const {
    if (model_ == MemoryModel::kTorch) return TorchFits(task, device, group_is_there);
    return Need(task, group_is_there) <= Free(device);
  }

  // `task` was scheduled on `device`. Marks in `freed` the devices that have more room now.
  void Place(int32_t task, int32_t device, bool group_was_there,
             const std::vector<int32_t>& device_of, std::vector<uint8_t>& freed);

  const std::vector<int64_t>& peak() const { return peak_; }

 private:
  void Reserve(int32_t task, int32_t device, bool group_was_there);
  bool TorchFits(int32_t task, int32_t device, bool group_is_there) const;
  void TorchPlace(int32_t task, int32_t device, bool group_was_there, std::vector<uint8_t>& freed);
  int64_t MissingInputs(int32_t task, int32_t device) const;

  const TaskGraph& tasks_;
  MemoryModel model_;
  std::vector<int64_t> limit_, used_, peak_;
  std::vector<int64_t> group_need_;    // for the first task of a group
  std::vector<int64_t> resident_;      // kEvent: what a group keeps
  std::vector<int64_t> reserved_;      // kReserve: what is left of a group's reserve
  std::vector<int32_t> group_left_;    // tasks of a group not scheduled yet
  std::vector<int32_t> readers_left_;  // consumers of a task not scheduled yet
  // kTorch:
  const std::vector<TorchNeed>& torch_;
  std::vector<int64_t> group_permanent_;  // of all of a group's tasks
  std::vector<int64_t> promised_;         // per device: of tasks whose groups have begun there
  std::vector<int32_t> device_of_;        // of each task, or -1
  std::vector<uint8_t> there_;            // [tensor * devices + device]: copied there
};

}  // namespace orchard::place
