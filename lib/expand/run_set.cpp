#include "expand/run_set.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <type_traits>
#include <variant>

#include "base/error.h"
#include "base/signals.h"
#include "comm/communicator.h"
#include "expand/train.h"
#include "io/json_file.h"
#include "io/json_lines.h"
#include "run/run_dir.h"
#include "run/summary.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

// Writes options as TOML: the values that a run is, and no comments.
class TomlLines : public cli::FieldVisitor {
 public:
  std::string Take() { return std::move(text_); }

 protected:
  void Visit(const char* key, cli::FieldRef value, const char*, const cli::Constraint&) override {
    const std::string text = std::visit([](const auto& field) { return Text(field); }, value);
    if (!text.empty()) text_ += fmt::format("{} = {}\n", key, text);
  }
  void VisitPositional(const char* key, cli::FieldRef value, const char* help, bool) override {
    Visit(key, value, help, {});
  }
  void Enter(const char* section) override { text_ += fmt::format("[{}]\n", section); }
  void Leave() override {}

 private:
  static std::string Text(const cli::EnumRef& e) {
    const size_t index = e.get();
    return index == cli::EnumRef::kUnset ? "" : Quoted(e.names[index]);
  }
  template <class T>
  static std::string Text(T* field) {
    return Value(*field);
  }
  template <class T>
  static std::string Value(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      return Quoted(value);
    } else if constexpr (std::is_same_v<T, fs::path>) {
      return Quoted(value.string());
    } else if constexpr (IsVector<T>::value) {
      std::string list;
      for (const auto& element : value) list += (list.empty() ? "" : ", ") + Value(element);
      return "[" + list + "]";
    } else {
      return fmt::format("{}", value);
    }
  }
  template <class T>
  static std::string Value(const std::optional<T>& value) {
    return value ? Value(*value) : "";
  }
  static std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

  std::string text_;
};

Curve ReadCurve(const fs::path& metrics, const char* key) {
  Curve curve;
  io::JsonLinesReader lines(metrics);
  for (nlohmann::json line; lines.Next(line);) {
    const auto it = line.find(key);
    if (it == line.end() || !it->is_number()) continue;
    curve.steps.push_back(line.at("step").get<double>());
    curve.values.push_back(it->get<double>());
  }
  return curve;
}

RunOutcome ReadOutcome(const fs::path& directory) {
  const fs::path metrics = directory / "metrics.jsonl";
  RunOutcome outcome{.loss = ReadCurve(metrics, "loss"),
                     .valid_loss = ReadCurve(metrics, "valid_loss"),
                     .divergence = ReadCurve(metrics, "copy_divergence"),
                     .final = directory / "final"};
  const run::Summary summary = run::ReadSummary(directory / "summary.json");
  outcome.diverged = summary.exit_code == ExitCode::kDiverged;
  outcome.seconds = summary.seconds;
  return outcome;
}

run::RunDir OpenDirectory(const RunRequest& request, const RunSetOptions& options) {
  return run::RunDir(options.directory / request.name,
                     {.program = "lemon-expand",
                      .command = "train",
                      .config_toml = ConfigText(request.options, request.seed),
                      .device = options.device},
                     run::Existing::kResume);
}

// Done before, or stopped by a loss that was not finite, which would come again.
bool IsOver(const fs::path& directory) {
  if (!fs::exists(directory / "summary.json")) return false;
  const run::Summary summary = run::ReadSummary(directory / "summary.json");
  return summary.state == "done" || summary.exit_code == ExitCode::kDiverged;
}

// A run that is over is read back only where it is this run.
void CheckSameRun(const fs::path& directory, const RunRequest& request) {
  std::ifstream file(directory / "config.toml", std::ios::binary);
  const std::string stored(std::istreambuf_iterator<char>(file), {});
  if (stored == ConfigText(request.options, request.seed)) return;
  throw UsageError("another training is kept here", directory.string(),
                   "--force starts over, or keep this experiment's trainings elsewhere");
}

RunOutcome TrainOne(const RunRequest& request, const RunSetOptions& options) {
  const fs::path directory = options.directory / request.name;
  if (IsOver(directory)) {
    CheckSameRun(directory, request);
    return ReadOutcome(directory);
  }
  if (request.prepare) request.prepare();
  run::RunDir run = OpenDirectory(request, options);
  const auto communicator = comm::OneProcess();
  const TrainSetting setting{
      .seed = request.seed, .threads = 1, .device = options.device, .progress = false};
  try {
    run.Record([&] { return ToJson(Train(request.options, setting, *communicator, &run)); });
  } catch (const DivergedError&) {
    // Recorded in its summary.
  }
  return ReadOutcome(directory);
}

// Hands out runs in order, holding back those whose predecessor is not finished.
class Queue {
 public:
  explicit Queue(const std::vector<RunRequest>& requests)
      : requests_(requests), states_(requests.size(), State::kWaiting) {
    for (const RunRequest& request : requests) predecessors_.push_back(IndexOf(request.after));
  }

  // The next run; nothing once all have begun or one has failed.
  std::optional<size_t> Next(const std::function<void(std::string_view)>& on_start) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (error_ || begun_ == requests_.size()) return std::nullopt;
      for (size_t i = 0; i < requests_.size(); ++i) {
        if (states_[i] != State::kWaiting || !IsReady(i)) continue;
        states_[i] = State::kBegun;
        ++begun_;
        if (on_start) on_start(requests_[i].name);
        return i;
      }
      changed_.wait(lock);
    }
  }

  void Done(size_t index) {
    const std::lock_guard lock(mutex_);
    states_[index] = State::kDone;
    changed_.notify_all();
  }

  void Fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

  void Rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  enum class State { kWaiting, kBegun, kDone };

  std::optional<size_t> IndexOf(const std::string& name) const {
    if (name.empty()) return std::nullopt;
    const auto it = std::find_if(requests_.begin(), requests_.end(),
                                 [&](const RunRequest& r) { return r.name == name; });
    if (it == requests_.end()) throw Error(ExitCode::kInternal, "no training run '" + name + "'");
    return static_cast<size_t>(std::distance(requests_.begin(), it));
  }

  bool IsReady(size_t i) const {
    return !predecessors_[i] || states_[*predecessors_[i]] == State::kDone;
  }

  const std::vector<RunRequest>& requests_;
  std::vector<State> states_;
  std::vector<std::optional<size_t>> predecessors_;
  size_t begun_ = 0;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace

std::optional<double> Curve::Crossing(double level) const {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] <= level)) continue;
    if (i == 0) return steps[0];
    const double part = (values[i - 1] - level) / (values[i - 1] - values[i]);
    return steps[i - 1] + part * (steps[i] - steps[i - 1]);
  }
  return std::nullopt;
}

std::vector<RunOutcome> TrainAll(const std::vector<RunRequest>& requests,
                                 const RunSetOptions& options) {
  const StopSignals signals;
  const int threads_before = at::get_num_threads();
  std::vector<RunOutcome> outcomes(requests.size());
  Queue queue(requests);
  const auto work = [&] {
    try {
      while (const auto index = queue.Next(options.on_start)) {
        outcomes[*index] = TrainOne(requests[*index], options);
        queue.Done(*index);
      }
    } catch (...) {
      queue.Fail(std::current_exception());
    }
  };
  std::vector<std::thread> workers;
  const size_t count = std::min<size_t>(std::max(1, options.threads), requests.size());
  for (size_t i = 0; i < count; ++i) workers.emplace_back(work);
  for (std::thread& worker : workers) worker.join();
  at::set_num_threads(threads_before);
  queue.Rethrow();
  return outcomes;
}

std::string ConfigText(const TrainOptions& options, uint64_t seed) {
  TomlLines lines;
  TrainOptions copy = options;
  copy.Fields(lines);
  return lines.Take() + fmt::format("[common]\nseed = {}\n", seed);
}

}  // namespace orchard::expand
