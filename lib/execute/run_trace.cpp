#include "execute/run_trace.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace orchard::execute {
namespace {

constexpr int kMeasured = 1000;  // process numbers of measured devices begin here

enum Thread { kCompute = 0, kSend = 1, kReceive = 2 };

class Trace {
 public:
  void Device(int pid, const std::string& name) {
    Add({{"ph", "M"}, {"pid", pid}, {"name", "process_name"}, {"args", {{"name", name}}}});
    constexpr const char* kThreads[] = {"compute", "send", "receive"};
    for (int tid = 0; tid < 3; ++tid) {
      Add({{"ph", "M"},
           {"pid", pid},
           {"tid", tid},
           {"name", "thread_name"},
           {"args", {{"name", kThreads[tid]}}}});
    }
  }
  void Work(int pid, Thread thread, const std::string& name, const Span& span) {
    Add({{"ph", "X"},
         {"pid", pid},
         {"tid", static_cast<int>(thread)},
         {"name", name},
         {"ts", span.begin_us},
         {"dur", span.us()}});
  }
  void Transfer(int src, int dst, const std::string& name, const Span& span) {
    Work(src, kSend, name, span);
    Work(dst, kReceive, name, span);
    Add({{"ph", "s"},
         {"id", flows_},
         {"pid", src},
         {"tid", 1},
         {"name", "copy"},
         {"cat", "copy"},
         {"ts", span.begin_us}});
    Add({{"ph", "f"},
         {"bp", "e"},
         {"id", flows_++},
         {"pid", dst},
         {"tid", 2},
         {"name", "copy"},
         {"cat", "copy"},
         {"ts", span.end_us}});
  }
  std::string Text() const {
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + text_ + "\n]}\n";
  }

 private:
  void Add(const nlohmann::ordered_json& event) {
    if (!text_.empty()) text_ += ",\n";
    text_ += event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  std::string text_;
  int flows_ = 0;
};

Span SpanOf(place::Time start, place::Time end) {
  return {place::ToMicroseconds(start), place::ToMicroseconds(end)};
}

}  // namespace

std::string RunTrace(const Program& program, const std::vector<DeviceSpec>& devices,
                     const Layout& layout, const Prediction& prediction,
                     const StepResult& measured) {
  Trace trace;
  for (size_t d = 0; d < devices.size(); ++d) {
    trace.Device(static_cast<int>(d), devices[d].name + " predicted");
    trace.Device(kMeasured + static_cast<int>(d), devices[d].name + " measured");
  }
  const place::Schedule& plan = prediction.schedule;
  for (int32_t i = 0; i < prediction.graph.size(); ++i)
    trace.Work(plan.device[i], kCompute, prediction.graph.ops[i].name,
               SpanOf(plan.start[i], plan.end[i]));
  for (const place::Transfer& t : plan.transfers) {
    if (prediction.graph.tensors[t.tensor].control) continue;
    trace.Transfer(t.src, t.dst, prediction.graph.tensor_names[t.tensor], SpanOf(t.start, t.end));
  }
  for (int32_t i = 0; i < program.size(); ++i) {
    const int pid = kMeasured + layout.device[i];
    trace.Work(pid, kCompute, program.operators[i].name, measured.forward[i]);
    if (measured.backward[i].us() > 0)
      trace.Work(pid, kCompute, program.operators[i].name + " (backward)", measured.backward[i]);
  }
  for (size_t d = 0; d < measured.update.size(); ++d) {
    if (measured.update[d].us() > 0)
      trace.Work(kMeasured + static_cast<int>(d), kCompute, "sgd", measured.update[d]);
  }
  for (const TransferSpan& t : measured.transfers) {
    trace.Transfer(kMeasured + t.src, kMeasured + t.dst,
                   fmt::format("{}:{}{}", program.operators[t.value.op].name, t.value.port,
                               t.gradient ? " (gradient)" : ""),
                   t.span);
  }
  return trace.Text();
}

}  // namespace orchard::execute
