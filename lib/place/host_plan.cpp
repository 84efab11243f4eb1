#include "place/host_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/printable.h"
#include "place/training_step.h"

namespace orchard::place {

int32_t HostPlan::size() const {
  return static_cast<int32_t>(std::count(offloaded.begin(), offloaded.end(), 1));
}

HostPlan KeepOnHost(const Graph& graph, const Cluster& cluster, const std::vector<int32_t>& ops) {
  HostPlan plan;
  plan.offloaded.assign(graph.size(), 0);
  for (int32_t i : ops) plan.offloaded[i] = 1;
  plan.fetches.resize(cluster.size());
  plan.on_host.assign(graph.size(), 0);
  plan.host_work.assign(graph.size(), 0);
  plan.gradient_bytes.assign(graph.size(), 0);
  if (!graph.step) return plan;
  const StepOrigin& step = *graph.step;
  std::vector<uint8_t> of_forward(step.forward.size(), 0);
  for (int32_t i : ops) of_forward[step.ops[i].forward] = 1;
  for (int32_t s = 0; s < graph.size(); ++s) {
    const StepOp& op = step.ops[s];
    if (op.kind != StepKind::kUpdate || !of_forward[op.forward]) continue;
    plan.on_host[s] = 1;
    plan.gradient_bytes[s] = step.forward.ops[op.forward].perm;
    plan.host_work[s] = FromMicroseconds(UpdateTraffic(step.options.optimizer) *
                                         static_cast<double>(plan.gradient_bytes[s]) /
                                         (cluster.host_gb_per_s * 1000));
  }
  return plan;
}

std::vector<std::vector<int32_t>> ParameterReaders(const Graph& graph) {
  std::vector<std::vector<int32_t>> readers(graph.size());
  if (!graph.step) {
    for (int32_t i = 0; i < graph.size(); ++i) {
      if (graph.ops[i].perm > 0) readers[i] = {i};
    }
    return readers;
  }
  // The first micro-batch's forward operator has the parameters, all others use them.
  std::vector<int32_t> owner(graph.step->forward.size(), -1);
  for (int32_t s = 0; s < graph.size(); ++s) {
    if (graph.ops[s].perm > 0) owner[graph.step->ops[s].forward] = s;
  }
  for (int32_t s = 0; s < graph.size(); ++s) {
    const StepOp& op = graph.step->ops[s];
    if (op.kind != StepKind::kUpdate && owner[op.forward] >= 0)
      readers[owner[op.forward]].push_back(s);
  }
  return readers;
}

std::string FlawOf(const HostPlan& plan, const Graph& graph, const std::vector<int32_t>& device) {
  const auto name = [&](int32_t i) { return io::Quoted(graph.ops[i].name); };
  std::vector<int32_t> parameters(graph.size(), -1);  // whose each operator reads
  const std::vector<std::vector<int32_t>> readers = ParameterReaders(graph);
  for (int32_t i = 0; i < graph.size(); ++i) {
    if (plan.offloaded[i] && graph.ops[i].perm == 0) return name(i) + " has no parameters";
    for (int32_t r : readers[i]) parameters[r] = i;
  }
  std::vector<uint8_t> served(graph.size(), 0);
  for (size_t d = 0; d < plan.fetches.size(); ++d) {
    for (const Fetch& fetch : plan.fetches[d]) {
      if (!plan.offloaded[fetch.op])
        return fmt::format("the parameters of {} are not on the host", name(fetch.op));
      if (fetch.after >= 0 && device[fetch.after] != static_cast<int32_t>(d))
        return fmt::format("{} is on another device", name(fetch.after));
      if (fetch.readers.empty()) return fmt::format("nobody reads what {} fetches", name(fetch.op));
      for (int32_t r : fetch.readers) {
        if (parameters[r] != fetch.op || device[r] != static_cast<int32_t>(d))
          return fmt::format("{} does not run on the parameters of {} here", name(r),
                             name(fetch.op));
        if (served[r]++) return fmt::format("parameters come to {} twice", name(r));
      }
    }
  }
  for (int32_t i = 0; i < graph.size(); ++i) {
    for (int32_t r : readers[i]) {
      if (plan.offloaded[i] && !served[r])
        return fmt::format("no parameters are fetched for {}", name(r));
    }
  }
  return "";
}

}  // namespace orchard::place
