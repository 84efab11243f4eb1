// Two evaluations of the same cases, pair by pair.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "segment/statistics.h"

namespace orchard::segment {

struct CompareOptions {
  std::filesystem::path first, second;
  std::vector<std::string> metrics = {"Dice", "HD95", "ASSD", "NSD@1mm"};
  int64_t resamples = 2000;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("first", first, "metrics.json of evaluate, or its run directory");
    f.Positional("second", second, "the one to compare with it");
    f("metrics", metrics, "which numbers, as named in metrics.json");
    f("resamples", resamples, "bootstrap samples of the intervals", cli::AtLeast(100));
  }
};

struct PairedDifference {
  std::string region, metric;
  double first = 0, second = 0;  // means over the pairs
  Distribution difference;       // second - first, over cases where both are finite
  double p = 1;                  // Wilcoxon's signed-rank test, two-sided
};

struct Comparison {
  std::vector<PairedDifference> differences;
  std::vector<std::string> unpaired;  // cases of only one file
};

// One result for every class in both files and every metric. Throws DataError for files that are no
// metrics, and when no case is in both; UsageError for a metric that neither has.
Comparison CompareMetrics(const CompareOptions& options, uint64_t seed);

}  // namespace orchard::segment
