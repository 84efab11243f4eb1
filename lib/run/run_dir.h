// The run directory: what a program was asked, what it measured, how it ended, and what it needs to
// continue.
//
//   config.toml     resolved configuration       metrics.jsonl   one line per measured step
//   summary.json    who, where, how it ended     report.html     the page for people
//   trace.json      with --trace                 checkpoints/    see checkpoint_store.h
//
// A tool reads its options, opens a RunDir, and calls the method inside `Record`. Layout of every
// file: docs/formats.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/signals.h"
#include "run/checkpoint_store.h"
#include "run/metrics.h"
#include "run/trace.h"

namespace orchard::run {

class Report;

// What to do when the directory holds a run already.
enum class Existing {
  kRefuse,   // UsageError
  kReplace,  // --force: remove that run's files, begin anew
  kResume    // --resume: continue from the newest checkpoint; begin anew when there is no run
};

inline Existing WhenExisting(bool force, bool resume) {
  return resume ? Existing::kResume : force ? Existing::kReplace : Existing::kRefuse;
}

struct RunInfo {
  std::string program;                 // "lemon-expand"
  std::string command;                 // "train"
  std::vector<std::string> arguments;  // argv as typed
  std::string config_toml;             // resolved configuration, one `key = value` per line
  std::string device = "cpu";          // as a person would name it: "NVIDIA H100", "cpu"
  int64_t threads = 1;
  bool trace = false;            // write trace.json
  int64_t checkpoint_every = 0;  // steps; 0: only on a stop
  int64_t keep_checkpoints = 2;
  // Keys that may differ when a run is resumed, because they do not change its result.
  std::vector<std::string> free_keys = {"out",     "device", "threads", "json",
                                        "force",   "resume", "trace",   "no_progress",
                                        "verbose", "quiet",  "dry_run"};
};

// What the run in this directory came to, where it is done; nothing where it is not, or is one of
// another command. Throws UsageError when its configuration was another.
std::optional<nlohmann::json> ResultWhenDone(const std::filesystem::path& path,
                                             const RunInfo& info);

class RunDir {
 public:
  // Makes the directory, locks it against a second process, and writes config.toml and a first
  // summary.json ("running"). An empty directory counts as absent. Throws UsageError when a run is
  // there and `existing` refuses it, when the directory holds something else than a run, when
  // another process uses it, or when a resumed run had another configuration (names the first line
  // that differs); DataError when all its checkpoints are damaged; ResourceError (disk).
  RunDir(const std::filesystem::path& path, RunInfo info, Existing existing);
  // A run whose end was not recorded is marked failed.
  ~RunDir();
  RunDir(RunDir&&) noexcept;

  const std::filesystem::path& path() const;

  // The checkpoint to continue from; nothing in a new run.
  const std::optional<CheckpointInfo>& resumed_from() const;

  // metrics.jsonl, made on first use; in a resumed run already cut to the checkpoint's step.
  MetricsWriter& metrics();
  CheckpointStore& checkpoints();
  Trace& trace();  // off unless RunInfo::trace

  // Called after every step, when its metrics are written: saves when a checkpoint is due or a stop
  // was asked for, and then throws InterruptedError (exit 75). Ranks of one job pass a `stop` on
  // which they agreed.
  void StepDone(int64_t step, const CheckpointWriter& writer, bool stop = StopRequested());

  // Writes a checkpoint now; metrics first, so that no checkpoint is ahead of them.
  void SaveCheckpoint(int64_t step, const CheckpointWriter& writer);

  // report.html.
  void WriteReport(const Report& report);

  // Runs `work` and records how it ended in summary.json: done with what it returned as result, or
  // interrupted or failed with the exit code and message of its exception, which passes on.
  void Record(const std::function<nlohmann::json()>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::run
