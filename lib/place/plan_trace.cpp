#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "place/explain.h"
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

}  // namespace

std::string PlanTrace(const Problem& problem, const Schedule& schedule, const MemoryUse& memory) {
  run::Timeline timeline;
  std::vector<DeviceRows> rows;
  rows.reserve(problem.cluster.devices.size());
  for (const auto& device : problem.cluster.devices) rows.emplace_back(timeline, device.name);
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
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
  for (size_t d = 0; d < memory.curve.size(); ++d) {
    for (const auto& [time, bytes] : memory.curve[d])
      timeline.Counter(rows[d].process, "bytes", "used", time, bytes);
  }
  return timeline.Text();
}

}  // namespace orchard::place
