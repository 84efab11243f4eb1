// m-ETF and m-SCT: list scheduling with communication delays on devices with limited memory.
//
// m-ETF gives the task that can start earliest to the device where it can. m-SCT knows for some
// tasks a favourite child and lets a device that just ran the parent wait for it (AWAKE), unless a
// task is there that could start anywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/fields.h"
#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"
#include "place/torch_memory.h"

namespace orchard::place {

enum class MemoryModel {
  kPlain,    // as published: outputs freed when the last consumer is scheduled
  kReserve,  // as published: a group's need is reserved with its first task
  kTorch,    // as published for PyTorch: nothing is freed, copies count
  kEvent     // ours: never more parameters and kept outputs than fit, checked again by simulation
};
inline constexpr cli::EnumName<MemoryModel> kMemoryModelNames[] = {
    {"plain", MemoryModel::kPlain},
    {"reserve", MemoryModel::kReserve},
    {"torch", MemoryModel::kTorch},
    {"event", MemoryModel::kEvent}};
constexpr auto EnumNames(MemoryModel) { return std::span(kMemoryModelNames); }

struct ListOptions {
  MemoryModel memory = MemoryModel::kEvent;
  bool published = false;  // estimates as in the published code (channels.h)
  // Bytes that each group holds for the whole run, for kEvent; empty: its parameters.
  std::vector<int64_t> group_resident;
  std::vector<TorchNeed> torch;       // of each task, for kTorch
  std::vector<int32_t> favourite;     // child of each task, or -1; empty: m-ETF
  std::vector<int32_t> group_device;  // groups that must be on a device, or -1; empty: none
};

// Where memory does not suffice, `placed` is less than the number of tasks. With Comm::kParallel
// the makespan is the one of the simulated plan. Runs in O((V D + E D) log V).
Schedule ListSchedule(const TaskGraph& tasks, const Cluster& cluster, const ListOptions& options);

}  // namespace orchard::place
