#include "execute/prediction.h"

#include <fmt/format.h>

#include "base/error.h"
#include "place/groups.h"
#include "place/simulate.h"

namespace orchard::execute {
namespace {

// Forward operators keep their numbers. A tensor of an edge (i, j) comes back from j to i as a
// gradient; each reader sends its own.
place::Graph WithBackward(const place::Graph& forward, std::vector<int32_t>& backward,
                          std::vector<int32_t>& update) {
  place::GraphBuilder builder(forward.name);
  for (const place::Op& op : forward.ops) builder.AddOp(op, op.name);
  backward.assign(forward.size(), -1);
  for (int32_t i = 0; i < forward.size(); ++i) {
    if (!forward.ops[i].bwd_us) continue;
    place::Op op{.name = forward.ops[i].name + " (backward)", .us = *forward.ops[i].bwd_us};
    op.us_on.assign(forward.ops[0].us_on.size(), op.us);
    backward[i] = builder.AddOp(std::move(op), forward.ops[i].name);
  }
  update.assign(forward.size(), -1);
  for (int32_t i = 0; i < forward.size(); ++i) {
    if (backward[i] < 0 || !forward.ops[i].update_us) continue;
    place::Op op{.name = forward.ops[i].name + " (update)", .us = *forward.ops[i].update_us};
    op.us_on.assign(forward.ops[0].us_on.size(), op.us);
    update[i] = builder.AddOp(std::move(op), forward.ops[i].name);
  }
  for (size_t e = 0; e < forward.edges.size(); ++e) {
    const place::Edge edge = forward.edges[e];
    for (int32_t t : forward.TensorsOf(static_cast<int32_t>(e))) {
      const auto bytes = static_cast<double>(forward.tensors[t].bytes);
      builder.AddUse(edge.src, edge.dst, forward.tensor_names[t], bytes, forward.tensors[t].us, "");
      if (forward.tensors[t].control || backward[edge.src] < 0 || backward[edge.dst] < 0) continue;
      builder.AddUse(backward[edge.dst], backward[edge.src],
                     forward.tensor_names[t] + " (gradient)", bytes, forward.tensors[t].us, "");
    }
  }
  for (int32_t i = 0; i < forward.size(); ++i) {
    if (backward[i] >= 0)
      builder.AddUse(i, backward[i], "^" + forward.ops[i].name + " (backward)", 0, -1, "");
    if (update[i] >= 0)
      builder.AddUse(backward[i], update[i], "^" + forward.ops[i].name + " (update)", 0, -1, "");
  }
  return builder.Build();
}

}  // namespace

Prediction Predict(const place::Graph& graph, const place::Cluster& cluster, const Layout& layout,
                   bool train) {
  Prediction result;
  std::vector<int32_t> backward, update;
  result.graph = train ? WithBackward(graph, backward, update) : graph;
  result.tasks =
      place::MakeTasks(result.graph, place::GroupOperators(result.graph, place::Grouping::kNone));
  std::vector<int32_t> device = layout.device, order;
  device.resize(result.graph.size());
  for (const auto& own : layout.order) {
    order.insert(order.end(), own.begin(), own.end());
    if (!train) continue;
    for (auto i = own.rbegin(); i != own.rend(); ++i) {
      if (backward[*i] < 0) continue;
      device[backward[*i]] = layout.device[*i];
      order.push_back(backward[*i]);
    }
    for (int32_t i : own) {
      if (update[i] < 0) continue;
      device[update[i]] = layout.device[i];
      order.push_back(update[i]);
    }
  }
  place::Simulator simulator(result.tasks, cluster);
  const place::Time makespan = layout.host && !train
                                   ? simulator.RunWithHost(device, order, graph, layout.host)
                                   : simulator.Run(device, place::Dispatch::kOrder, order);
  if (makespan == place::kNever)
    throw Error(ExitCode::kInternal, "the order of the step waits for itself", graph.name);
  result.schedule = simulator.Result();
  return result;
}

}  // namespace orchard::execute
