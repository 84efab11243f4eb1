#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "place/explain.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

enum Thread { kCompute = 0, kSend = 1, kReceive = 2 };

std::string Quote(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Complete(int32_t device, Thread thread, const std::string& name, Time start, Time end,
                     const std::string& more = "") {
  return fmt::format(R"({{"ph":"X","pid":{},"tid":{},"name":{},"ts":{},"dur":{}{}}})", device,
                     static_cast<int>(thread), Quote(name), ToMicroseconds(start),
                     ToMicroseconds(end - start), more);
}

}  // namespace

std::string PlanTrace(const Problem& problem, const Schedule& schedule, const MemoryUse& memory) {
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  const auto add = [&](const std::string& event) { text += event + ",\n"; };
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    add(fmt::format(R"({{"ph":"M","pid":{},"name":"process_name","args":{{"name":{}}}}})", d,
                    Quote(problem.cluster.devices[d].name)));
    constexpr const char* kThreads[] = {"compute", "send", "receive"};
    for (int t = 0; t < 3; ++t) {
      add(fmt::format(
          R"({{"ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":"{}"}}}})", d, t,
          kThreads[t]));
    }
  }
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    const auto& step = problem.graph.step;
    add(Complete(schedule.device[i], kCompute, problem.graph.ops[i].name, schedule.start[i],
                 schedule.end[i],
                 step ? fmt::format(R"(,"cat":"{}")", Name(step->ops[i].kind)) : ""));
  }
  for (size_t k = 0; k < schedule.transfers.size(); ++k) {
    const Transfer& t = schedule.transfers[k];
    const std::string& name = problem.graph.tensor_names[t.tensor];
    const std::string bytes =
        fmt::format(R"(,"args":{{"bytes":{}}})", problem.ops.tensors[t.tensor].bytes);
    add(Complete(t.src, kSend, name, t.start, t.end, bytes));
    add(Complete(t.dst, kReceive, name, t.start, t.end, bytes));
    add(fmt::format(R"({{"ph":"s","id":{},"pid":{},"tid":1,"name":"copy","cat":"copy","ts":{}}})",
                    k, t.src, ToMicroseconds(t.start)));
    add(fmt::format(
        R"({{"ph":"f","bp":"e","id":{},"pid":{},"tid":2,"name":"copy","cat":"copy","ts":{}}})", k,
        t.dst, ToMicroseconds(t.end)));
  }
  for (size_t d = 0; d < memory.curve.size(); ++d) {
    for (const auto& [time, bytes] : memory.curve[d]) {
      add(fmt::format(R"({{"ph":"C","pid":{},"name":"bytes","ts":{},"args":{{"used":{}}}}})", d,
                      ToMicroseconds(time), bytes));
    }
  }
  text.resize(text.size() - 2);
  return text + "\n]}\n";
}

}  // namespace orchard::place
