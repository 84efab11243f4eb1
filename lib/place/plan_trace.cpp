#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "place/explain.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

constexpr int kCompute = 0, kSend = 1, kReceive = 2;

// The thread of a transfer: what overlaps on one thread would not be drawn, so that transfers at
// the same time are on threads of their own.
class Lanes {
 public:
  // Transfers come by their start.
  int Take(Time start, Time end) {
    for (size_t lane = 0; lane < free_from_.size(); ++lane) {
      if (free_from_[lane] > start) continue;
      free_from_[lane] = end;
      return static_cast<int>(lane);
    }
    free_from_.push_back(end);
    return static_cast<int>(free_from_.size()) - 1;
  }
  int size() const { return static_cast<int>(free_from_.size()); }

 private:
  std::vector<Time> free_from_ = {0};
};

int ThreadOf(int kind, int lane) { return kind + 2 * lane; }

std::string Quote(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Complete(int32_t device, int thread, const std::string& name, Time start, Time end,
                     const std::string& more = "") {
  return fmt::format(R"({{"ph":"X","pid":{},"tid":{},"name":{},"ts":{},"dur":{}{}}})", device,
                     thread, Quote(name), ToMicroseconds(start), ToMicroseconds(end - start), more);
}

}  // namespace

std::string PlanTrace(const Problem& problem, const Schedule& schedule, const MemoryUse& memory) {
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  const auto add = [&](const std::string& event) { text += event + ",\n"; };
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    const auto& step = problem.graph.step;
    add(Complete(schedule.device[i], kCompute, problem.graph.ops[i].name, schedule.start[i],
                 schedule.end[i],
                 step ? fmt::format(R"(,"cat":"{}")", Name(step->ops[i].kind)) : ""));
  }
  std::vector<size_t> by_start(schedule.transfers.size());
  std::iota(by_start.begin(), by_start.end(), size_t{0});
  std::stable_sort(by_start.begin(), by_start.end(), [&](size_t a, size_t b) {
    return schedule.transfers[a].start < schedule.transfers[b].start;
  });
  std::vector<Lanes> sends(problem.cluster.size()), receives(problem.cluster.size());
  for (size_t k : by_start) {
    const Transfer& t = schedule.transfers[k];
    const int send = ThreadOf(kSend, sends[t.src].Take(t.start, t.end));
    const int receive = ThreadOf(kReceive, receives[t.dst].Take(t.start, t.end));
    const std::string& name = problem.graph.tensor_names[t.tensor];
    const std::string bytes =
        fmt::format(R"(,"args":{{"bytes":{}}})", problem.ops.tensors[t.tensor].bytes);
    add(Complete(t.src, send, name, t.start, t.end, bytes));
    add(Complete(t.dst, receive, name, t.start, t.end, bytes));
    // Both ends lie inside their slices, so that a viewer binds the arrow to them.
    add(fmt::format(R"({{"ph":"s","id":{},"pid":{},"tid":{},"name":"copy","cat":"copy","ts":{}}})",
                    k, t.src, send, ToMicroseconds(t.start)));
    add(fmt::format(
        R"({{"ph":"f","bp":"e","id":{},"pid":{},"tid":{},"name":"copy","cat":"copy","ts":{}}})", k,
        t.dst, receive, ToMicroseconds(t.start + (t.end - t.start) / 2)));
  }
  for (int32_t d = 0; d < problem.cluster.size(); ++d) {
    add(fmt::format(R"({{"ph":"M","pid":{},"name":"process_name","args":{{"name":{}}}}})", d,
                    Quote(problem.cluster.devices[d].name)));
    const auto thread = [&](int tid, const std::string& name) {
      add(fmt::format(
          R"({{"ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":"{}"}}}})", d, tid,
          name));
    };
    thread(kCompute, "compute");
    for (const auto& [kind, lanes] : {std::pair(kSend, &sends[d]), {kReceive, &receives[d]}}) {
      for (int lane = 0; lane < lanes->size(); ++lane) {
        const char* name = kind == kSend ? "send" : "receive";
        thread(ThreadOf(kind, lane), lane == 0 ? name : fmt::format("{} {}", name, lane + 1));
      }
    }
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
