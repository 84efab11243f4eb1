// The trainings and predictions that the experiments on real scans are made of.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "run/case_runner.h"
#include "run/estimate.h"
#include "run/report.h"
#include "segment/repro/cohort.h"
#include "segment/repro/corruption.h"
#include "segment/repro/options.h"
#include "segment/train_options.h"

namespace orchard::segment::repro {

struct Setting {
  ReproOptions options;
  uint64_t seed = 0;  // of the first run
  int threads = 1;
  std::shared_ptr<const Cohort> cohort;  // where an experiment needs one

  static Setting Make(const ReproOptions& options, uint64_t seed, int threads, bool needs_scans);
  // All that a result depends on besides its name.
  std::string Key() const;
  double minutes() const {
    return options.quick ? std::min(options.minutes, 1.0 / 3) : options.minutes;
  }
  // 8, 16, 50 and all, or what was asked for; never more than there are.
  std::vector<int64_t> Sizes() const;
  // `wanted`, or all where there are fewer.
  int64_t Size(int64_t wanted) const;
};

// The options of `configs/siamese-seg/quick.toml`, by time.
SegmentTrainOptions BaseOptions(double minutes);

// How a prediction gets its templates, and what a table calls it.
struct Inference {
  std::string name;
  TemplateSelect select = TemplateSelect::kNearest;
  int64_t templates = 1;
  Ensemble ensemble = Ensemble::kTokens;
  Corruption corruption = Corruption::kNone;
  int level = 0;
};
// That of every comparison.
Inference DefaultInference();

// What segments the test scans: a trained network, or labels copied from `cases` training cases.
struct Method {
  enum class Kind { kNetwork, kRandomCopy, kNearestCopy, kVote };
  std::string name;
  Kind kind = Kind::kNetwork;
  int64_t cases = 0;
  SegmentTrainOptions options = {};
  bool matched = false;                   // as many parameters as the network with a template has
  std::vector<Inference> inference = {};  // empty: DefaultInference
};
Method TemplateMethod(const Setting& setting, int64_t cases);
Method UNetMethod(const Setting& setting, int64_t cases);
// Labels of a random case, of the most similar one, and the vote of the ten most similar.
std::vector<Method> CopyMethods(int64_t cases);

// The plan of a network without a template whose coarsest stage is widened until it has as many
// parameters as the one with a template, to 1 %.
Plan MatchedPlan(const Plan& plan, const NetworkOptions& with_template);

std::vector<run::Case> CasesOf(const Setting& setting, const std::vector<Method>& methods);

// The value of each test scan, mean over classes and seeds. `metric` is "dice", "hd95" or "nsd".
std::vector<double> ScanValues(const Setting& setting, const run::CaseResults& results,
                               const Method& method, const std::string& metric,
                               const std::string& inference = "");
// Their mean, with a bootstrap interval over the scans.
run::Estimate MeanValue(const Setting& setting, const run::CaseResults& results,
                        const Method& method, const std::string& metric,
                        const std::string& inference = "");
// Scan by scan, a minus b: mean and bootstrap interval, and the p-value of Wilcoxon's test.
struct Difference {
  run::Estimate mean;
  double p = 1;
};
Difference DifferenceOf(const Setting& setting, const std::vector<double>& a,
                        const std::vector<double>& b);
// The mean over runs of what a training reports about itself: "steps", "parameters", "cpu_seconds".
double MeanNumber(const Setting& setting, const run::CaseResults& results, const Method& method,
                  const std::string& key);
// Means of single seeds, for tables: "0.851 0.848 0.853".
std::string SeedMeans(const Setting& setting, const run::CaseResults& results,
                      const Method& method);

// "0.851 [0.842, 0.859]".
run::Cell EstimateCell(const run::Estimate& estimate, int digits = 3);

}  // namespace orchard::segment::repro
