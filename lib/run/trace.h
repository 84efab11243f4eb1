// A timeline of one process in Chrome's trace format: opens in Perfetto (ui.perfetto.dev) and
// chrome://tracing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace orchard::run {

// Thread-safe. A trace that is off costs one branch per call. Events reach the file in blocks, so a
// killed process leaves a readable trace of nearly all it did; only the closing bracket, which
// readers do without, is missing then.
class Trace {
 public:
  Trace();                                            // off
  explicit Trace(const std::filesystem::path& path);  // throws ResourceError
  ~Trace();                                           // writes what is left, ignoring errors
  Trace(Trace&&) noexcept;

  bool on() const { return state_ != nullptr; }

  // The time from here to the end of the scope, on the calling thread's row.
  //   const auto span = trace.Span("forward");
  class Scope {
   public:
    Scope(Scope&& other) noexcept;
    Scope& operator=(Scope&&) = delete;
    ~Scope();

   private:
    friend class Trace;
    Scope(Trace* trace, std::string_view name, std::string_view category);
    Trace* trace_;                      // nullptr: off
    std::string_view name_, category_;  // of the caller; literals as a rule
    int64_t begin_ = 0;                 // nanoseconds
  };
  [[nodiscard]] Scope Span(std::string_view name, std::string_view category = "orchard") {
    return Scope(on() ? this : nullptr, name, category);
  }

  // A value over time, drawn as its own row.
  void Counter(std::string_view name, double value);

  // The calling thread's row is called `name`.
  void NameThread(std::string_view name);

  // Writes all events and closes the file. Throws ResourceError.
  void Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::run
