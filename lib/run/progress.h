// Progress of long work on stderr: one line with rate and time left on a terminal, a plain line
// every 30 s otherwise.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace orchard::run {

struct ProgressOptions {
  bool enabled = true;  // false for --no-progress and --quiet
  int64_t start = 0;    // done before this process began: after a resume
  // Where and how; the defaults are the logger and the steady clock. Tests put their own in.
  bool terminal = StandardErrorIsTerminal();
  int columns = 0;                              // width of the terminal; 0: ask it
  std::function<void(std::string_view)> show;   // replaces the status line; "" removes it
  std::function<void(std::string_view)> print;  // a line of its own
  std::function<double()> clock;                // seconds

  static bool StandardErrorIsTerminal();
};

// Thread-safe. The line is redrawn at most ten times a second, so `Advance` may be called for every
// item.
class Progress {
 public:
  //   task    "expand", at the start of the line
  //   total   how many items in all; 0 when unknown
  //   unit    "steps", or "B" to show bytes
  Progress(std::string task, int64_t total, std::string unit, ProgressOptions options = {});
  ~Progress();  // Finish()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Advance(int64_t items = 1);
  void Note(std::string note);  // shown at the end of the line: "loss 2.31"

  // Leaves a last line that says how much was done and how long it took.
  void Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::run
