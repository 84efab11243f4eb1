// summary.json: which program ran with what, where, for how long, how it ended, and its result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace orchard::run {

struct Summary {
  std::string program, command;
  std::vector<std::string> arguments;
  std::string device;
  int64_t threads = 1;
  std::string started;   // UTC, ISO 8601, of the first attempt
  int64_t attempts = 1;  // 1 + how often the run was resumed
  double seconds = 0;    // wall time of all attempts up to their last checkpoint or end
  std::string state;     // running | done | interrupted | failed
  ExitCode exit_code = ExitCode::kDone;
  std::string message;  // of the error; empty when done
};

// "2026-01-31T17:05:00Z", now.
std::string UtcNow();

// "Orchard 0.1.0 (revision)".
std::string VersionLine();

// Versions and host are added here. `result` is what the program found out; null while it runs.
void WriteSummary(const std::filesystem::path& path, const Summary& summary,
                  const nlohmann::json& result);

// Throws DataError when the file is not a summary.
Summary ReadSummary(const std::filesystem::path& path);

}  // namespace orchard::run
