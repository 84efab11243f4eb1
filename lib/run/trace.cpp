#include "run/trace.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/number_format.h"
#include "run/timeline.h"

namespace orchard::run {
namespace {

constexpr size_t kBlock = 1 << 16;  // bytes gathered before a write

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t ThreadId() {
  static thread_local const int64_t id = ::syscall(SYS_gettid);
  return id;
}

std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

struct Trace::State {
  std::filesystem::path path;
  std::mutex mutex;
  std::string block = "[";
  bool first = true;
  int descriptor = -1;
  int64_t origin = Now();
  const std::string process = std::to_string(::getpid());

  ~State() {
    if (descriptor >= 0) ::close(descriptor);
  }

  // `body` is what tells this event from others; process and thread are added.
  void Add(const std::string& body) {
    std::string event =
        "{\"pid\":" + process + ",\"tid\":" + std::to_string(ThreadId()) + "," + body + "}";
    std::lock_guard lock(mutex);
    if (descriptor < 0) return;  // a span that outlived `Finish`
    block += first ? "\n" : ",\n";
    block += event;
    first = false;
    if (block.size() >= kBlock) Flush();
  }

  void Flush() {
    const std::string text = std::exchange(block, "");
    WriteFully(descriptor, std::as_bytes(std::span(text)), path, text.size());
  }

  void Close() {
    std::lock_guard lock(mutex);
    if (descriptor < 0) return;
    block += "\n]\n";
    try {
      Flush();
    } catch (...) {
      ::close(std::exchange(descriptor, -1));
      throw;
    }
    ::close(std::exchange(descriptor, -1));
  }
};

Trace::Trace() = default;
Trace::Trace(Trace&&) noexcept = default;

Trace::Trace(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (state_->descriptor < 0) {
    throw ResourceError("cannot create file", path.string() + ": " + std::strerror(errno));
  }
}

Trace::~Trace() {
  try {
    Finish();
  } catch (...) {
  }
}

void Trace::Finish() {
  if (state_) state_->Close();
}

void Trace::Counter(std::string_view name, double value) {
  if (!on()) return;
  state_->Add("\"ph\":\"C\",\"ts\":" + TraceMicroseconds(Now() - state_->origin) +
              ",\"name\":" + Quoted(name) + ",\"args\":{\"value\":" +
              (std::isfinite(value) ? FormatShortest(value) : "null") + "}");
}

void Trace::NameThread(std::string_view name) {
  if (!on()) return;
  state_->Add("\"ph\":\"M\",\"name\":\"thread_name\",\"args\":{\"name\":" + Quoted(name) + "}");
}

Trace::Scope::Scope(Trace* trace, std::string_view name, std::string_view category)
    : trace_(trace), name_(name), category_(category) {
  if (trace_ != nullptr) begin_ = Now();
}

Trace::Scope::Scope(Scope&& other) noexcept
    : trace_(std::exchange(other.trace_, nullptr)),
      name_(other.name_),
      category_(other.category_),
      begin_(other.begin_) {}

Trace::Scope::~Scope() {
  if (trace_ == nullptr) return;
  try {
    State& state = *trace_->state_;
    state.Add("\"ph\":\"X\",\"ts\":" + TraceMicroseconds(begin_ - state.origin) +
              ",\"dur\":" + TraceMicroseconds(Now() - begin_) + ",\"name\":" + Quoted(name_) +
              ",\"cat\":" + Quoted(category_));
  } catch (...) {  // a full disk costs the trace, not the run
  }
}

}  // namespace orchard::run
