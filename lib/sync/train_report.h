// The page of a distributed training run.
#pragma once

#include <filesystem>
#include <string>

#include "run/report.h"
#include "sync/train_result.h"

namespace orchard::sync {

// `metrics` is the run's metrics.jsonl. Throws DataError.
run::Report MakeTrainReport(const SyncResult& result, const std::filesystem::path& metrics,
                            const std::string& config_toml);

// A run among others, for pages that compare them.
struct NamedRun {
  std::string name;
  SyncResult result;
  std::filesystem::path metrics;
};

// Accuracy against epochs, bytes and seconds, drift, and a table, of several runs.
void AddComparison(run::Report& report, const std::vector<NamedRun>& runs);

}  // namespace orchard::sync
