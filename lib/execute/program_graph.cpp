#include "execute/program_graph.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/printable.h"
#include "place/analytic_cost.h"
#include "place/groups.h"
#include "place/host_plan.h"
#include "place/simulate.h"
#include "place/training_step.h"

namespace orchard::execute {

Costs AnalyticCosts(const Program& program, const std::string& name) {
  const place::DevicePreset& preset = place::FindPreset(name);
  Costs costs{.source = "analytic, " + name};
  std::vector<uint8_t> trained(program.size(), 0);
  for (int32_t i = 0; i < program.size(); ++i) {
    const Operator& op = program.operators[i];
    int64_t bytes = 0;
    for (int64_t out : op.output_bytes) bytes += out;
    for (const Value& input : op.inputs) {
      bytes += program.operators[input.op].output_bytes[input.port];
      trained[i] |= trained[input.op];
    }
    for (int32_t p : op.parameters) {
      bytes += static_cast<int64_t>(program.parameters[p].value.nbytes());
      trained[i] |= program.parameters[p].trainable;
    }
    const double us = place::AnalyticMicroseconds(op.flops, static_cast<double>(bytes), preset);
    const bool dense = place::IsDense(op.kind.substr(op.kind.rfind(':') + 1));
    costs.us.push_back(op.body ? us : 0);
    costs.backward_us.push_back(us * (dense ? place::kDenseBackward : place::kOtherBackward));
    costs.has_backward.push_back(op.body && trained[i] && program.no_training.empty());
  }
  return costs;
}

place::Graph MakeGraph(const Program& program, const Costs& costs) {
  place::GraphBuilder builder(program.name);
  builder.graph.name = program.name;
  builder.graph.cost_source = costs.source;
  std::vector<uint8_t> counted(program.parameters.size(), 0);
  for (int32_t i = 0; i < program.size(); ++i) {
    const Operator& from = program.operators[i];
    place::Op op{.name = from.name, .type = from.kind};
    if (!costs.us.empty()) op.us = costs.us[i];
    if (!costs.backward_us.empty() && costs.has_backward[i]) op.bwd_us = costs.backward_us[i];
    if (!costs.update_us.empty() && costs.update_us[i] > 0) op.update_us = costs.update_us[i];
    if (!costs.temp.empty()) op.temp = costs.temp[i];
    op.out = from.output_bytes;
    op.groups = from.groups;
    for (int32_t p : from.parameters) {
      // Untrained state may have a copy at each reader, so it counts at each.
      if (program.parameters[p].trainable && counted[p]++) continue;
      op.perm += static_cast<int64_t>(program.parameters[p].value.nbytes());
    }
    builder.AddOp(std::move(op), fmt::format("operator {}", i));
  }
  for (int32_t i = 0; i < program.size(); ++i) {
    for (const Value& input : program.operators[i].inputs) {
      const Operator& producer = program.operators[input.op];
      builder.AddUse(input.op, i, fmt::format("{}:{}", producer.name, input.port),
                     static_cast<double>(producer.output_bytes[input.port]), -1, producer.name);
    }
    for (int32_t before : program.operators[i].after)
      builder.AddUse(before, i, "^" + program.operators[before].name, 4, -1, "order");
  }
  return builder.Build();
}

namespace {

// Fetches are planned for one operator each.
void CheckHost(const Program& program, const place::HostPlan& host) {
  std::vector<int32_t> readers(program.parameters.size(), 0);
  for (const Operator& op : program.operators) {
    for (int32_t p : op.parameters) ++readers[p];
  }
  for (int32_t i = 0; i < program.size(); ++i) {
    if (!host.offloaded[i]) continue;
    for (int32_t p : program.operators[i].parameters) {
      if (readers[p] == 1 || !program.parameters[p].trainable) continue;
      throw UsageError(
          fmt::format("the parameter {} of {} is on the host, and other operators read it as well",
                      io::Quoted(program.parameters[p].name),
                      io::Quoted(program.operators[i].name)),
          "placement", "place without --offload");
    }
  }
}

}  // namespace

Layout LayoutOf(const Program& program, const place::Graph& graph, const place::Cluster& cluster,
                const place::Placement& placement) {
  if (graph.size() != program.size()) {
    throw DataError(
        fmt::format("the graph has {} operators and the model {}", graph.size(), program.size()),
        graph.name, "profile the model again, with the same inputs");
  }
  for (int32_t i = 0; i < program.size(); ++i) {
    if (graph.ops[i].name == program.operators[i].name) continue;
    throw DataError(
        fmt::format("operator {} is {} in the graph and {} in the model", i,
                    io::Quoted(graph.ops[i].name), io::Quoted(program.operators[i].name)),
        graph.name, "profile the model again, with the same inputs");
  }
  Layout layout;
  layout.device = placement.device;
  layout.order.resize(cluster.devices.size());
  if (placement.order.empty()) {
    for (int32_t i = 0; i < program.size(); ++i) layout.order[layout.device[i]].push_back(i);
  }
  for (int32_t i : placement.order) layout.order[layout.device[i]].push_back(i);
  std::vector<int32_t> order;
  for (const auto& of_device : layout.order)
    order.insert(order.end(), of_device.begin(), of_device.end());
  const place::TaskGraph tasks =
      place::MakeTasks(graph, place::GroupOperators(graph, place::Grouping::kNone));
  place::Simulator simulator(tasks, cluster);
  const place::Time makespan =
      placement.host ? simulator.RunWithHost(layout.device, order, graph, placement.host)
                     : simulator.Run(layout.device, place::Dispatch::kOrder, order);
  if (makespan == place::kNever) {
    throw DataError("the order waits for itself", graph.name,
                    "an operator stands before one that it needs");
  }
  if (placement.host) CheckHost(program, *placement.host);
  layout.host = placement.host;
  return layout;
}

}  // namespace orchard::execute
