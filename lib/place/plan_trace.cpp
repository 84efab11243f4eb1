#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "place/explain.h"
#include "place/host_plan.h"
#include "place/training_step.h"
#include "run/timeline.h"

namespace orchard::place {
namespace {

// Processes are devices, in their order.
struct DeviceRows {
  DeviceRows(run::Timeline& timeline, const std::string& name)
      : process(timeline.AddProcess(name)),
        compute(timeline.AddThread(process, "compute")),
        sends(timeline, process, "send"),
        receives(timeline, process, "receive") {}
  int process, compute;
  run::TimelineRows sends, receives;
};

// Threads of a device for its parameters on the host, in the order of what goes over its link.
// Updates on the host are shown at the device that they are for.
void AddHost(run::Timeline& timeline, const Problem& problem, const Schedule& schedule,
             const std::vector<DeviceRows>& rows) {
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    const int fetches = timeline.AddThread(rows[d].process, "parameters from the host");
    for (size_t k = 0; k < schedule.fetches[d].size(); ++k) {
      const Op& op = problem.graph.ops[schedule.host->fetches[d][k].op];
      const Span& span = schedule.fetches[d][k];
      timeline.Slice(fetches, "parameters of " + op.name, {span.start, span.end}, "",
                     fmt::format(R"({{"bytes":{}}})", op.perm));
    }
  }
  if (schedule.write_backs.empty()) return;
  std::vector<int> gradients, updates;
  for (const DeviceRows& device : rows) {
    gradients.push_back(timeline.AddThread(device.process, "gradients to the host"));
    updates.push_back(timeline.AddThread(device.process, "updates on the host"));
  }
  for (const WriteBack& gradient : schedule.write_backs) {
    const int32_t update = gradient.update;
    const std::string& name = problem.graph.ops[update].name;
    timeline.Slice(gradients[gradient.device], "gradient for " + name,
                   {gradient.start, gradient.end});
    timeline.Slice(updates[gradient.device], name, {schedule.start[update], schedule.end[update]});
  }
}

}  // namespace

std::string PlanTrace(const Problem& problem, const Schedule& schedule, const MemoryUse& memory) {
  run::Timeline timeline;
  std::vector<DeviceRows> rows;
  rows.reserve(problem.cluster.devices.size());
  for (const auto& device : problem.cluster.devices) rows.emplace_back(timeline, device.name);
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    if (schedule.host && schedule.host->on_host[i]) continue;
    const auto& step = problem.graph.step;
    timeline.Slice(rows[schedule.device[i]].compute, problem.graph.ops[i].name,
                   {schedule.start[i], schedule.end[i]}, step ? Name(step->ops[i].kind) : "");
  }
  std::vector<size_t> by_start(schedule.transfers.size());
  std::iota(by_start.begin(), by_start.end(), size_t{0});
  std::stable_sort(by_start.begin(), by_start.end(), [&](size_t a, size_t b) {
    return schedule.transfers[a].start < schedule.transfers[b].start;
  });
  for (size_t k : by_start) {
    const Transfer& t = schedule.transfers[k];
    const run::Timeline::Span span = {t.start, t.end};
    const int send = rows[t.src].sends.Take(span);
    const int receive = rows[t.dst].receives.Take(span);
    const std::string& name = problem.graph.tensor_names[t.tensor];
    const std::string bytes = fmt::format(R"({{"bytes":{}}})", problem.ops.tensors[t.tensor].bytes);
    timeline.Slice(send, name, span, "", bytes);
    timeline.Slice(receive, name, span, "", bytes);
    timeline.Arrow(send, span, receive, span);
  }
  if (schedule.host) AddHost(timeline, problem, schedule, rows);
  for (size_t d = 0; d < memory.curve.size(); ++d) {
    for (const auto& [time, bytes] : memory.curve[d])
      timeline.Counter(rows[d].process, "bytes", "used", time, bytes);
  }
  return timeline.Text();
}

}  // namespace orchard::place
