#include "place/task_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "io/printable.h"
#include "place/topology.h"

namespace orchard::place {
namespace {

// What the TensorFlow bookkeeping counts as an operator's outputs.
int64_t CompatOutputs(const Graph& graph, const Op& op, int64_t out) {
  if (graph.persistent_memory == PersistentMemory::kSeparate) return out + op.perm;
  if (op.perm <= out) return out;
  throw DataError(fmt::format("'{}' has {} bytes of parameters in {} bytes of outputs",
                              io::Printable(op.name), op.perm, out),
                  graph.name, "the file says that parameters are part of the outputs");
}

Time CompatWork(double us) { return kMicrosecond * std::max<int64_t>(1, std::llrint(us)); }

}  // namespace

Time TaskGraph::TotalWork() const { return std::accumulate(work.begin(), work.end(), Time{0}); }

std::vector<Time> TaskGraph::MeanWork(const Cluster& cluster) const {
  std::vector<Time> mean(size(), 0);
  for (int32_t i = 0; i < size(); ++i) {
    for (int32_t d = 0; d < cluster.size(); ++d) mean[i] += WorkOn(cluster, i, d);
    mean[i] = std::llrint(static_cast<double>(mean[i]) / cluster.size());
  }
  return mean;
}

std::vector<Time> TaskGraph::LeastWork(const Cluster& cluster) const {
  std::vector<Time> least(size(), kNever);
  for (int32_t i = 0; i < size(); ++i) {
    for (int32_t d = 0; d < cluster.size(); ++d)
      least[i] = std::min(least[i], WorkOn(cluster, i, d));
  }
  return least;
}

void CheckDevices(const Graph& graph, const Cluster& cluster) {
  const size_t stated = graph.ops.empty() ? 0 : graph.ops[0].us_on.size();
  if (stated == 0 || stated == cluster.devices.size()) return;
  throw DataError(fmt::format("the graph states times on {} devices, and there are {}", stated,
                              cluster.devices.size()),
                  graph.name);
}

std::vector<std::vector<int32_t>> TaskGraph::TasksOfGroups() const {
  std::vector<std::vector<int32_t>> list(groups);
  for (int32_t i = 0; i < size(); ++i) list[group[i]].push_back(i);
  return list;
}

void Index(TaskGraph& tasks) {
  IndexEdges(tasks.edges, tasks.size(), tasks.out_begin, tasks.in_begin, tasks.in_edges);
  tasks.topo = TopologicalIndex(tasks.edges, tasks.out_begin);
  int32_t largest = -1;
  for (int32_t g : tasks.group) largest = std::max(largest, g);
  std::vector<int32_t> renamed(largest + 1, -1);
  tasks.groups = 0;
  for (int32_t& g : tasks.group) {
    if (renamed[g] < 0) renamed[g] = tasks.groups++;
    g = renamed[g];
  }
}

TaskGraph MakeTasks(const Graph& graph, const std::vector<int32_t>& group,
                    const TaskOptions& options) {
  TaskGraph tasks;
  std::vector<int32_t> task_of(graph.size(), -1);
  tasks.member_begin = {0};
  for (int32_t i = 0; i < graph.size(); ++i) {
    const bool lone = graph.OutDegree(i) == 0 && graph.InEdges(i).empty();
    if (options.compat && lone) continue;
    const Op& op = graph.ops[i];
    const int64_t out = std::accumulate(op.out.begin(), op.out.end(), int64_t{0});
    task_of[i] = tasks.size();
    tasks.work.push_back(options.compat ? CompatWork(op.us) : FromMicroseconds(op.us));
    for (double us : op.us_on)
      tasks.work_on.push_back(options.compat ? CompatWork(us) : FromMicroseconds(us));
    tasks.work_devices = static_cast<int32_t>(op.us_on.size());
    tasks.perm.push_back(op.perm);
    tasks.temp.push_back(op.temp);
    tasks.out.push_back(options.compat ? CompatOutputs(graph, op, out) : out);
    tasks.group.push_back(group[i]);
    tasks.members.push_back(i);
    tasks.member_begin.push_back(static_cast<int32_t>(tasks.members.size()));
  }
  for (const Tensor& tensor : graph.tensors)
    tasks.tensors.push_back({task_of[tensor.producer], tensor.bytes, tensor.us});
  tasks.edges.reserve(graph.edges.size());
  for (const Edge& edge : graph.edges)
    tasks.edges.push_back({task_of[edge.src], task_of[edge.dst]});
  tasks.tensor_begin = graph.tensor_begin;
  tasks.edge_tensors = graph.edge_tensors;
  Index(tasks);
  return tasks;
}

}  // namespace orchard::place
