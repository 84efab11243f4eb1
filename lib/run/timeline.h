// A timeline of planned or measured work in Chrome's trace format, written so that Perfetto
// (ui.perfetto.dev) draws all of it. Its importer
//   - truncates 1000 ts to nanoseconds: microseconds are written so that this gives the nanosecond
//     meant, else slices that follow each other would overlap, and be dropped;
//   - names threads by their number alone: numbers are unique over all processes;
//   - lets number 0 be the kernel's: processes and threads are numbered from 1;
//   - binds an arrow to the slice that is open at its time: arrows end within a slice, and slices
//     without length have none.
// Source: src/trace_processor/importers/json of github.com/google/perfetto.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::run {

// Microseconds as text, of which 1000 times the double nearest, truncated, is `nanoseconds`
// (0 to 2^53).
std::string TraceMicroseconds(int64_t nanoseconds);

class Timeline {
 public:
  struct Span {
    int64_t begin = 0, end = 0;  // nanoseconds from 0
  };

  // Both return the number that is its `pid` and `tid`.
  int AddProcess(std::string_view name);
  int AddThread(int process, std::string_view name);

  // Slices of a thread may lie in each other, but not overlap otherwise. `args` is a JSON object,
  // or nothing.
  void Slice(int thread, std::string_view name, Span span, std::string_view category = "",
             std::string_view args = "");
  // From the start of a slice to the middle of another one, both written already.
  void Arrow(int from_thread, Span from, int to_thread, Span to);
  // A value from this time on.
  void Counter(int process, std::string_view name, std::string_view key, int64_t time,
               int64_t value);

  std::string Text() const;

 private:
  void Begin(std::string_view phase, int process, int thread);

  std::string text_;
  int processes_ = 0;
  std::vector<int> process_of_ = {0};  // by thread
  int64_t arrows_ = 0;
};

// Threads of one process for slices that may overlap, as many as overlap at once: "send", "send 2".
class TimelineRows {
 public:
  TimelineRows(Timeline& timeline, int process, std::string name);
  // The thread of a slice. They come by their begin.
  int Take(Timeline::Span span);

 private:
  struct Row {
    int thread = 0;
    int64_t free_from = 0;
  };
  void AddRow();

  Timeline& timeline_;
  int process_;
  std::string name_;
  std::vector<Row> rows_;
};

}  // namespace orchard::run
