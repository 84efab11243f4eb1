#include "run/run_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "run/report.h"
#include "run/summary.h"

namespace orchard::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfig = "config.toml";
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kSummary = "summary.json";
constexpr const char* kReport = "report.html";
constexpr const char* kTrace = "trace.json";
constexpr const char* kCheckpoints = "checkpoints";

// The lines of a resolved configuration that say something, without those whose key may differ.
std::vector<std::string> Settings(const std::string& toml, const std::vector<std::string>& free) {
  std::vector<std::string> settings;
  std::istringstream text(toml);
  for (std::string line; std::getline(text, line);) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    const std::string key = line.substr(begin, line.find_first_of(" \t=", begin) - begin);
    if (std::find(free.begin(), free.end(), key) == free.end()) settings.push_back(line);
  }
  return settings;
}

void RequireSameConfig(const fs::path& path, const RunInfo& info) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const auto before = Settings(text.str(), info.free_keys);
  const auto now = Settings(info.config_toml, info.free_keys);
  const auto [a, b] = std::mismatch(before.begin(), before.end(), now.begin(), now.end());
  if (a == before.end() && b == now.end()) return;
  const auto quote = [](auto at, const auto& end) {
    return at == end ? std::string("nothing") : "`" + *at + "`";
  };
  throw UsageError("the run to resume had another configuration",
                   path.string() + ": " + quote(a, before.end()) + ", now " + quote(b, now.end()),
                   "resume with the same options, or choose another --out");
}

// Nothing is there, or only what a process killed while it made a new run left.
bool HoldsNothing(const fs::path& path) {
  const std::string leftover = std::string(kSummary) + ".partial";
  return std::all_of(fs::directory_iterator(path), fs::directory_iterator(),
                     [&](const auto& entry) { return entry.path().filename() == leftover; });
}

// Takes the directory for this process; the lock goes with the descriptor.
int Lock(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // File systems without locks (some network ones) answer otherwise than EWOULDBLOCK; there the
  // user's care has to do.
  if (descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    throw UsageError("another process uses the run directory", path.string(),
                     "wait for it, or choose another --out");
  }
  return descriptor;
}

}  // namespace

struct RunDir::State {
  fs::path path;
  RunInfo info;
  Summary summary;
  double seconds_before = 0;  // of earlier attempts
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::optional<CheckpointInfo> resumed_from;
  std::optional<MetricsWriter> metrics;
  std::optional<CheckpointStore> checkpoints;
  std::optional<Trace> trace;
  int lock = -1;

  ~State() {
    if (lock >= 0) ::close(lock);
  }

  void Replace() {
    for (const char* name : {kConfig, kMetrics, kReport, kTrace, kSummary}) fs::remove(path / name);
    fs::remove_all(path / kCheckpoints);
  }

  void Resume() {
    const Summary before = ReadSummary(path / kSummary);
    if (before.program != info.program || before.command != info.command) {
      throw UsageError(
          "the run to resume is one of `" + before.program + " " + before.command + "`",
          path.string(), "choose another --out");
    }
    RequireSameConfig(path / kConfig, info);
    std::vector<std::string> damage;
    resumed_from = checkpoints->Newest(&damage);
    for (const std::string& line : damage) LogWarning(line + ": passed over");
    summary.started = before.started;
    summary.attempts = before.attempts + 1;
    seconds_before = before.seconds;
    if (fs::exists(path / kMetrics)) {
      metrics.emplace(path / kMetrics, resumed_from ? resumed_from->step : -1);
    }
  }

  // A run that ended with a mistake in its options or data has nothing to lose: the corrected
  // command may take its place without --force.
  bool EndedBeforeItBegan() const {
    if (fs::exists(path / kMetrics) || fs::exists(path / kCheckpoints)) return false;
    const Summary before = ReadSummary(path / kSummary);
    return before.state == "failed" &&
           (before.exit_code == ExitCode::kUsage || before.exit_code == ExitCode::kData);
  }

  void TakeOver(Existing existing) {
    if (HoldsNothing(path)) return;
    if (!fs::exists(path / kSummary)) {
      throw UsageError("the directory holds other files than a run's", path.string(),
                       "choose another --out");
    }
    if (existing == Existing::kRefuse && EndedBeforeItBegan()) return Replace();
    if (existing == Existing::kRefuse) {
      throw UsageError("the run directory exists", path.string(),
                       "--resume continues it, --force starts over, or choose another --out");
    }
    if (existing == Existing::kReplace) {
      ReadSummary(path / kSummary);  // throws before anything is removed that is not ours
      Replace();
    } else if (fs::exists(path / kConfig)) {  // absent: killed before anything was done
      Resume();
    }
  }

  void Save(const char* state, ExitCode code, const std::string& message, const json& result) {
    summary.state = state;
    summary.exit_code = code;
    summary.message = message;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    summary.seconds = seconds_before + elapsed.count();
    WriteSummary(path / kSummary, summary, result);
  }

  // `Save` where an exception is already on its way: a full disk must not hide it.
  void SaveQuietly(const char* state, ExitCode code, const std::string& message) noexcept {
    try {
      Save(state, code, message, nullptr);
    } catch (...) {
    }
  }
};

RunDir::RunDir(const fs::path& path, RunInfo info, Existing existing)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  s.info = std::move(info);
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw ResourceError("cannot create directory", path.string() + ": " + error.message());
  s.lock = Lock(path);
  s.checkpoints.emplace(path / kCheckpoints, s.info.keep_checkpoints);
  s.summary = {.program = s.info.program,
               .command = s.info.command,
               .arguments = s.info.arguments,
               .device = s.info.device,
               .threads = s.info.threads,
               .started = UtcNow()};
  s.TakeOver(existing);
  // The summary first: it is what makes the directory a run's.
  s.Save("running", ExitCode::kDone, "", nullptr);
  WriteFileAtomically(path / kConfig, s.info.config_toml);
  if (s.info.trace) {
    s.trace.emplace(path / kTrace);
  } else {
    s.trace.emplace();
  }
}

std::optional<json> ResultWhenDone(const fs::path& path, const RunInfo& info) {
  if (!fs::exists(path / kSummary) || !fs::exists(path / kConfig)) return std::nullopt;
  const Summary summary = ReadSummary(path / kSummary);
  if (summary.state != "done" || summary.program != info.program ||
      summary.command != info.command) {
    return std::nullopt;
  }
  RequireSameConfig(path / kConfig, info);
  std::ifstream file(path / kSummary);
  return json::parse(file).value("result", json::object());
}

RunDir::RunDir(RunDir&&) noexcept = default;

RunDir::~RunDir() {
  if (state_ && state_->summary.state == "running") {
    state_->SaveQuietly("failed", ExitCode::kInternal, "the run ended without a word");
  }
}

const fs::path& RunDir::path() const { return state_->path; }
const std::optional<CheckpointInfo>& RunDir::resumed_from() const { return state_->resumed_from; }
CheckpointStore& RunDir::checkpoints() { return *state_->checkpoints; }
Trace& RunDir::trace() { return *state_->trace; }

MetricsWriter& RunDir::metrics() {
  if (!state_->metrics) state_->metrics.emplace(state_->path / kMetrics);
  return *state_->metrics;
}

void RunDir::SaveCheckpoint(int64_t step, const CheckpointWriter& writer) {
  if (state_->metrics) state_->metrics->Sync();
  state_->checkpoints->Write(step, writer);
  state_->Save("running", ExitCode::kDone, "", nullptr);
}

void RunDir::StepDone(int64_t step, const CheckpointWriter& writer, bool stop) {
  const int64_t every = state_->info.checkpoint_every;
  if (stop || (every > 0 && step % every == 0)) SaveCheckpoint(step, writer);
  if (stop) {
    throw InterruptedError("stopped on request after step " + std::to_string(step),
                           state_->path.string());
  }
}

void RunDir::WriteReport(const Report& report) {
  WriteFileAtomically(state_->path / kReport, report.Html());
}

void RunDir::Record(const std::function<json()>& work) {
  try {
    const json result = work();
    if (state_->metrics) state_->metrics->Sync();
    state_->trace->Finish();
    state_->Save("done", ExitCode::kDone, "", result);
  } catch (const InterruptedError& error) {
    state_->SaveQuietly("interrupted", error.code(), error.what());
    throw;
  } catch (const Error& error) {
    state_->SaveQuietly("failed", error.code(), error.what());
    throw;
  } catch (const std::bad_alloc&) {
    state_->SaveQuietly("failed", ExitCode::kResource, "out of memory");
    throw;
  } catch (const std::exception& error) {
    state_->SaveQuietly("failed", ExitCode::kInternal, error.what());
    throw;
  }
}

}  // namespace orchard::run
