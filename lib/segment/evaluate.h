// Comparing folders of predicted and reference label maps, case by case.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "run/case_store.h"
#include "segment/evaluate_options.h"
#include "segment/statistics.h"
#include "volume/metrics.h"

namespace orchard::segment {

struct EvaluatedCase {
  std::string name;
  std::filesystem::path prediction, reference;
  std::vector<volume::Metrics> regions;  // as Evaluation::regions; empty when it failed
  std::set<int64_t> labels;              // those of the regions that either label map has
  std::string error;
  int exit_code = 0;
};

struct Evaluation {
  std::vector<volume::Region> regions;
  std::map<int64_t, std::string> names;  // of labels
  std::vector<double> tolerances;
  bool distances = true;
  std::vector<EvaluatedCase> cases;    // by name; those that failed, too
  std::vector<std::string> unmatched;  // "case: no reference"
  bool whole = true;                   // false: a shard

  size_t Failed() const;
  // Labels of the regions that no label map has; none while a case failed or others are left to
  // other shards.
  std::vector<int64_t> AbsentLabels() const;
};

// A number per case and region by its name in files: "Dice", "HD95", "NSD@1mm", ...
struct MetricColumn {
  std::string name, unit;
  int digits = 4;
  bool higher_is_better = true;
  std::function<double(const volume::Metrics&)> value;
};
// Those that are computed: without distances, those of overlap and volume.
std::vector<MetricColumn> MetricColumns(const Evaluation& evaluation);

// The distribution of a column over the cases of a region.
Distribution DescribeColumn(const Evaluation& evaluation, const MetricColumn& column, size_t region,
                            int64_t resamples, uint64_t seed);

// Pairs the files of the two folders by case and compares each pair; cases run side by side. A case
// that cannot be read or compared is recorded and does not stop the others. Finished cases are kept
// in `store` and found there. Without --labels and --regions the regions are the labels that occur
// in any of the references. Throws UsageError for options that do not fit, DataError when no case
// has both files.
Evaluation Evaluate(const EvaluateOptions& options, const run::CaseStore& store, int threads,
                    const std::function<void(const std::string&)>& done);

}  // namespace orchard::segment
