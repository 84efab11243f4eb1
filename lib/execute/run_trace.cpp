#include "execute/run_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "place/host_plan.h"
#include "run/timeline.h"

namespace orchard::execute {
namespace {

run::Timeline::Span SpanOf(const Span& span) {
  return {std::llround(span.begin_us * 1000), std::llround(span.end_us * 1000)};
}

struct DeviceRows {
  DeviceRows(run::Timeline& timeline, const std::string& name)
      : process(timeline.AddProcess(name)),
        compute(timeline.AddThread(process, "compute")),
        sends(timeline, process, "send"),
        receives(timeline, process, "receive") {}

  // The thread of parameters that come from the host, where there are any.
  int Fetch(run::Timeline& timeline, run::Timeline::Span span) {
    if (!fetches) fetches.emplace(timeline, process, "from the host");
    return fetches->Take(span);
  }

  int process, compute;
  run::TimelineRows sends, receives;
  std::optional<run::TimelineRows> fetches;
};

struct Copy {
  int32_t src = 0, dst = 0;
  std::string name;
  run::Timeline::Span span;
};

void DrawCopies(run::Timeline& timeline, std::vector<DeviceRows>& rows, std::vector<Copy> copies) {
  std::stable_sort(copies.begin(), copies.end(),
                   [](const Copy& a, const Copy& b) { return a.span.begin < b.span.begin; });
  for (const Copy& copy : copies) {
    const int send = rows[copy.src].sends.Take(copy.span);
    const int receive = rows[copy.dst].receives.Take(copy.span);
    timeline.Slice(send, copy.name, copy.span);
    timeline.Slice(receive, copy.name, copy.span);
    timeline.Arrow(send, copy.span, receive, copy.span);
  }
}

void DrawPrediction(run::Timeline& timeline, std::vector<DeviceRows>& rows,
                    const Prediction& prediction) {
  const place::Schedule& plan = prediction.schedule;
  for (int32_t i = 0; i < prediction.graph.size(); ++i)
    timeline.Slice(rows[plan.device[i]].compute, prediction.graph.ops[i].name,
                   {plan.start[i], plan.end[i]});
  std::vector<Copy> copies;
  for (const place::Transfer& t : plan.transfers) {
    if (prediction.graph.tensors[t.tensor].control) continue;
    copies.push_back({t.src, t.dst, prediction.graph.tensor_names[t.tensor], {t.start, t.end}});
  }
  DrawCopies(timeline, rows, std::move(copies));
  for (size_t d = 0; d < plan.fetches.size(); ++d) {
    for (size_t k = 0; k < plan.fetches[d].size(); ++k) {
      const run::Timeline::Span span{plan.fetches[d][k].start, plan.fetches[d][k].end};
      timeline.Slice(rows[d].Fetch(timeline, span),
                     prediction.graph.ops[plan.host->fetches[d][k].op].name, span);
    }
  }
}

void DrawMeasurement(run::Timeline& timeline, std::vector<DeviceRows>& rows, const Program& program,
                     const Layout& layout, const StepResult& measured) {
  for (int32_t i = 0; i < program.size(); ++i) {
    const int thread = rows[layout.device[i]].compute;
    const std::string& name = program.operators[i].name;
    timeline.Slice(thread, name, SpanOf(measured.forward[i]));
    if (measured.backward[i].us() > 0)
      timeline.Slice(thread, name + " (backward)", SpanOf(measured.backward[i]));
  }
  for (size_t d = 0; d < measured.update.size(); ++d) {
    if (measured.update[d].us() > 0)
      timeline.Slice(rows[d].compute, "sgd", SpanOf(measured.update[d]));
  }
  std::vector<Copy> copies;
  for (const TransferSpan& t : measured.transfers) {
    copies.push_back({t.src, t.dst,
                      fmt::format("{}:{}{}", program.operators[t.value.op].name, t.value.port,
                                  t.gradient ? " (gradient)" : ""),
                      SpanOf(t.span)});
  }
  DrawCopies(timeline, rows, std::move(copies));
  for (const FetchSpan& fetch : measured.fetches) {
    const run::Timeline::Span span = SpanOf(fetch.span);
    timeline.Slice(rows[fetch.device].Fetch(timeline, span), program.operators[fetch.op].name,
                   span);
  }
}

}  // namespace

std::string RunTrace(const Program& program, const std::vector<DeviceSpec>& devices,
                     const Layout& layout, const Prediction& prediction,
                     const StepResult& measured) {
  run::Timeline timeline;
  std::vector<DeviceRows> planned, timed;
  for (const DeviceSpec& device : devices)
    planned.emplace_back(timeline, device.name + " predicted");
  for (const DeviceSpec& device : devices) timed.emplace_back(timeline, device.name + " measured");
  DrawPrediction(timeline, planned, prediction);
  DrawMeasurement(timeline, timed, program, layout, measured);
  return timeline.Text();
}

}  // namespace orchard::execute
