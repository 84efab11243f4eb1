#include "place/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "io/printable.h"
#include "place/levels.h"
#include "place/pipeline_order.h"
#include "place/topology.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

std::vector<int32_t> PinsOfGroups(const Graph& graph, const TaskGraph& ops,
                                  const std::vector<int32_t>& pin) {
  std::vector<int32_t> group_pin(ops.groups, -1), first(ops.groups, -1);
  for (int32_t i = 0; i < static_cast<int32_t>(pin.size()); ++i) {
    if (pin[i] < 0) continue;
    int32_t& device = group_pin[ops.group[i]];
    if (device >= 0 && device != pin[i]) {
      throw UsageError(fmt::format("'{}' and '{}' share a group and are pinned to two devices",
                                   io::Printable(graph.ops[first[ops.group[i]]].name),
                                   io::Printable(graph.ops[i].name)),
                       "--pin");
    }
    device = pin[i];
    first[ops.group[i]] = i;
  }
  return group_pin;
}

// Coplacement starts from the stated groups; where those need not be kept, it may divide none of
// the operators' own groups either.
std::vector<int32_t> CoarseGroups(const Graph& graph, const Cluster& cluster,
                                  const TaskGraph& ops) {
  std::vector<int32_t> coarse =
      GroupOperators(graph, Grouping::kCoplaceCapped, cluster, DefaultGroupCap(graph, cluster));
  std::vector<int32_t> of_group(ops.groups, -1);
  for (int32_t i = 0; i < ops.size(); ++i) {
    int32_t& unit = of_group[ops.group[i]];
    if (unit >= 0 && unit != coarse[i]) return ops.group;
    unit = coarse[i];
  }
  return coarse;
}

// Outputs of forward operators that backward ones read, and gradients that updates read: at the
// turn of the step most of them are there at once.
void AddActivations(const Graph& graph, const MemorySizes& sizes, std::vector<int64_t>& resident) {
  const std::vector<StepOp>& ops = graph.step->ops;
  std::vector<uint8_t> counted(sizes.buffers.size(), 0);
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    const auto [src, dst] = graph.edges[e];
    if (ops[src].kind == ops[dst].kind || ops[src].kind == StepKind::kRecompute) continue;
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e))) {
      const int32_t b = sizes.buffer_of_tensor[t];
      if (b < 0 || counted[b]) continue;
      counted[b] = 1;
      resident[src] += sizes.buffers[b].bytes;
    }
  }
}

}  // namespace

Problem::Problem(const Graph& g, Cluster c, const MemoryOptions& memory,
                 const std::vector<int32_t>& must_share, const std::vector<int32_t>& pin)
    : graph(g),
      cluster(std::move(c)),
      sizes(g, memory),
      ops(MakeTasks(g, must_share)),
      resident(sizes.Resident()) {
  CheckDevices(g, cluster);
  if (g.step) AddActivations(g, sizes, resident);
  const double n = cluster.size();
  for (Time bottom : PathLevels(ops, cluster, ops.MeanWork(cluster), (n - 1) / n).bottom)
    priority.push_back(-bottom);
  coarse = CoarseGroups(g, cluster, ops);
  group_pin = PinsOfGroups(g, ops, pin);
  const int64_t everything = sizes.Everything();
  for (const Device& device : cluster.devices)
    memory_can_bind = memory_can_bind || device.memory < everything;
  // Copies of remote tensors come on top, so only an unlimited device never binds.
  int64_t copies = std::accumulate(sizes.copy_bytes.begin(), sizes.copy_bytes.end(), int64_t{0});
  for (const Device& device : cluster.devices)
    memory_can_bind = memory_can_bind || device.memory < everything + copies;
}

std::vector<int32_t> OrderByStart(const TaskGraph& tasks, const Schedule& schedule) {
  std::vector<int32_t> order(tasks.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<int32_t> topo = TopologicalIndex(tasks.edges, tasks.out_begin);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::tuple(schedule.start[a], schedule.end[a], topo[a]) <
           std::tuple(schedule.start[b], schedule.end[b], topo[b]);
  });
  return order;
}

Expanded Expand(const Problem& problem, const TaskGraph& tasks, const Schedule& plan) {
  Expanded result;
  result.device.assign(problem.ops.size(), -1);
  std::vector<int32_t> members;
  const bool timed = plan.start.size() == static_cast<size_t>(tasks.size());
  for (int32_t i : timed ? OrderByStart(tasks, plan) : TopologicalTasks(tasks)) {
    members.assign(tasks.Members(i).begin(), tasks.Members(i).end());
    std::sort(members.begin(), members.end(),
              [&](int32_t a, int32_t b) { return problem.ops.topo[a] < problem.ops.topo[b]; });
    for (int32_t op : members) {
      result.device[op] = plan.device[i];
      result.order.push_back(op);
    }
  }
  // Operators that a planner left out, as the published code does with those that have no edge.
  for (int32_t op = 0; op < problem.ops.size(); ++op) {
    if (result.device[op] >= 0) continue;
    const int32_t pin = problem.group_pin[problem.ops.group[op]];
    result.device[op] = std::max(pin, 0);
    result.order.push_back(op);
  }
  return result;
}

Evaluated EvaluateOrder(const Problem& problem, const std::vector<int32_t>& device,
                        const std::vector<int32_t>& order) {
  Simulator simulator(problem.ops, problem.cluster);
  simulator.Run(device, Dispatch::kOrder, order);
  Evaluated result;
  result.schedule = simulator.Result();
  result.memory = ReplayMemory(problem.sizes, problem.ops, result.schedule, problem.cluster.size());
  result.excess = Excess(result.memory.peak, problem.cluster);
  return result;
}

Evaluated Evaluate(const Problem& problem, const std::vector<int32_t>& device,
                   const std::vector<int32_t>& plan) {
  Simulator simulator(problem.ops, problem.cluster);
  Evaluated best;
  bool first = true;
  const auto consider = [&] {
    // The order that came out is fixed and simulated again: that is what an executor will do.
    std::vector<int32_t> order = OrderByStart(problem.ops, simulator.Result());
    if (problem.graph.step) UpdatesLast(problem.graph, order);
    simulator.Run(device, Dispatch::kOrder, order);
    Evaluated candidate;
    candidate.schedule = simulator.Result();
    candidate.memory =
        ReplayMemory(problem.sizes, problem.ops, candidate.schedule, problem.cluster.size());
    candidate.excess = Excess(candidate.memory.peak, problem.cluster);
    if (first || std::tuple(candidate.excess, candidate.schedule.makespan) <
                     std::tuple(best.excess, best.schedule.makespan)) {
      best = std::move(candidate);
    }
    first = false;
  };
  simulator.Run(device, Dispatch::kFifo);
  consider();
  simulator.Run(device, Dispatch::kPriority, {}, problem.priority);
  consider();
  if (!plan.empty() && simulator.Run(device, Dispatch::kOrder, plan) < kNever) consider();
  return best;
}

}  // namespace orchard::place
