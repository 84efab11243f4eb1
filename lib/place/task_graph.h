// What the planners work on: the graph with all costs in nanoseconds, operators possibly fused into
// tasks, every task in one group. Arrays and indices only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "place/cluster.h"
#include "place/graph.h"
#include "place/units.h"

namespace orchard::place {

struct TaskTensor {
  int32_t producer = 0;
  int64_t bytes = 0;
  double us = -1;  // stated cost; negative: by the link
};

struct TaskGraph {
  // Of task i.
  std::vector<Time> work;     // at speed 1
  std::vector<Time> work_on;  // [task * work_devices + device] where the graph says; else empty
  int32_t work_devices = 0;
  std::vector<int64_t> perm, temp, out;
  std::vector<int32_t> group;  // groups are numbered by first appearance
  std::vector<int32_t> topo;   // position in the topological order; breaks all ties
  // The operators of the graph that task i executes: members[member_begin[i] ..), in the order of
  // their fusion.
  std::vector<int32_t> member_begin, members;

  std::vector<TaskTensor> tensors;
  std::vector<Edge> edges;  // by producer
  std::vector<int32_t> out_begin, in_begin, in_edges;
  std::vector<int32_t> tensor_begin, edge_tensors;
  int32_t groups = 0;

  int32_t size() const { return static_cast<int32_t>(work.size()); }
  std::span<const int32_t> TensorsOf(int32_t edge) const {
    return std::span(edge_tensors)
        .subspan(tensor_begin[edge], tensor_begin[edge + 1] - tensor_begin[edge]);
  }
  std::span<const int32_t> InEdges(int32_t task) const {
    return std::span(in_edges).subspan(in_begin[task], in_begin[task + 1] - in_begin[task]);
  }
  std::span<const int32_t> Members(int32_t task) const {
    return std::span(members).subspan(member_begin[task],
                                      member_begin[task + 1] - member_begin[task]);
  }
  Time Cost(const Cluster& cluster, int32_t tensor, int32_t src, int32_t dst) const {
    return cluster.Cost(tensors[tensor].bytes, tensors[tensor].us, src, dst);
  }
  Time WorkOn(const Cluster& cluster, int32_t task, int32_t device) const {
    return work_on.empty() ? cluster.Work(work[task], device)
                           : work_on[static_cast<size_t>(task) * work_devices + device];
  }
  // Of every task: mean and least over the devices.
  std::vector<Time> MeanWork(const Cluster& cluster) const;
  std::vector<Time> LeastWork(const Cluster& cluster) const;
  Time TotalWork() const;  // at speed 1
  // Tasks of each group.
  std::vector<std::vector<int32_t>> TasksOfGroups() const;
};

// How operators become tasks.
struct TaskOptions {
  // As the TensorFlow code: operators without an edge are left out, times are whole microseconds
  // and at least one, perm counts as an output.
  bool compat = false;
};

// Throws DataError when the graph states times for another number of devices than there are.
void CheckDevices(const Graph& graph, const Cluster& cluster);

// One task per operator. `group` gives every operator's group. Throws DataError in compat mode when
// the parameters of an operator are not part of its outputs although the graph says so.
TaskGraph MakeTasks(const Graph& graph, const std::vector<int32_t>& group,
                    const TaskOptions& options = {});

// Fills the index of the edges, `topo` and the group count, and renumbers groups by first
// appearance.
void Index(TaskGraph& tasks);

}  // namespace orchard::place
