#include "run/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include "base/logging.h"
#include "base/number_format.h"

namespace orchard::run {
namespace {

constexpr double kTerminalInterval = 0.1;  // seconds between redraws
constexpr double kPlainInterval = 30;
constexpr double kRateWindow = 10;  // seconds over which the rate forgets

double SteadySeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int TerminalColumns() {
  struct winsize size;
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// The longest start of `text` of at most `bytes` bytes that ends between UTF-8 characters.
std::string Shortened(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

bool ProgressOptions::StandardErrorIsTerminal() { return ::isatty(STDERR_FILENO) == 1; }

struct Progress::State {
  std::string task, unit, note;
  int64_t total = 0;
  ProgressOptions options;
  std::atomic<int64_t> done{0};
  std::atomic<double> next_draw{0};
  std::mutex mutex;
  double begin = 0, last_time = 0, rate = 0;
  int64_t last_done = 0;
  bool visible = false;  // a line stands on the terminal
  bool finished = false;
  const int exceptions = std::uncaught_exceptions();  // when made

  std::string Amount(double items) const {
    if (unit == "B") return FormatBytes(static_cast<uint64_t>(std::max(0.0, items)));
    return FormatInteger(static_cast<int64_t>(items));
  }
  std::string Rate() const {
    if (unit == "B") return FormatBytes(static_cast<uint64_t>(rate)) + "/s";
    return FormatSignificant(rate, 3) + " " + unit + "/s";
  }

  // Exponentially forgetting mean; the first measurement counts in full.
  void UpdateRate(double now, int64_t count) {
    const double elapsed = now - last_time;
    if (elapsed <= 0) return;
    const double current = static_cast<double>(count - last_done) / elapsed;
    const double weight = last_time == begin ? 1.0 : std::min(1.0, elapsed / kRateWindow);
    rate += weight * (current - rate);
    last_time = now;
    last_done = count;
  }

  std::string Line() const {
    const int64_t count = done.load();
    std::string line = task + "  " + Amount(static_cast<double>(count));
    if (total > 0) {
      line += "/" + Amount(static_cast<double>(total));
      line += unit == "B" ? "" : " " + unit;
      line += "  " + std::to_string(std::min<int64_t>(100, count * 100 / total)) + " %";
    } else {
      line += unit == "B" ? "" : " " + unit;
    }
    if (rate > 0) {
      line += "  " + Rate();
      if (total > count) line += "  " + FormatDuration((total - count) / rate) + " left";
    }
    if (!note.empty()) line += "  " + note;
    return line;
  }

  void Draw() {
    if (options.terminal) {
      const int columns = options.columns > 0 ? options.columns : TerminalColumns();
      options.show(Shortened(Line(), static_cast<size_t>(std::max(1, columns - 1))));
      visible = true;
    } else {
      options.print(Line());
    }
  }
};

Progress::Progress(std::string task, int64_t total, std::string unit, ProgressOptions options)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.task = std::move(task);
  s.total = total;
  s.unit = std::move(unit);
  s.options = std::move(options);
  if (!s.options.clock) s.options.clock = SteadySeconds;
  if (!s.options.show) s.options.show = ShowStatusLine;
  if (!s.options.print) s.options.print = PrintToStderr;
  s.done = s.last_done = s.options.start;
  s.begin = s.last_time = s.options.clock();
  s.next_draw = s.begin + (s.options.terminal ? kTerminalInterval : kPlainInterval);
}

Progress::~Progress() {
  // A task that failed ends with its one line of error, not with how long it took.
  if (std::uncaught_exceptions() > state_->exceptions) {
    std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->visible, false)) state_->options.show("");
    return;
  }
  Finish();
}

void Progress::Advance(int64_t items) {
  State& s = *state_;
  const int64_t count = s.done.fetch_add(items, std::memory_order_relaxed) + items;
  if (!s.options.enabled) return;
  const double now = s.options.clock();
  if (now < s.next_draw.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(s.mutex, std::try_to_lock);
  if (!lock || s.finished || now < s.next_draw.load(std::memory_order_relaxed)) return;
  s.next_draw = now + (s.options.terminal ? kTerminalInterval : kPlainInterval);
  s.UpdateRate(now, count);
  s.Draw();
}

void Progress::Note(std::string note) {
  std::lock_guard lock(state_->mutex);
  std::replace_if(
      note.begin(), note.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  state_->note = std::move(note);
}

void Progress::Finish() {
  State& s = *state_;
  std::lock_guard lock(s.mutex);
  if (std::exchange(s.finished, true) || !s.options.enabled) return;
  const double seconds = s.options.clock() - s.begin;
  std::string line = s.task + "  " + s.Amount(static_cast<double>(s.done.load()));
  line += s.unit == "B" ? "" : " " + s.unit;
  line += " in " + FormatDuration(seconds);
  if (!s.note.empty()) line += "  " + s.note;
  if (std::exchange(s.visible, false)) s.options.show("");
  s.options.print(line);
}

}  // namespace orchard::run
