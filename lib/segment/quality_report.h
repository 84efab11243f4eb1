// What quality control found, as JSON, a table and a page.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/image.h"
#include "run/report.h"
#include "segment/dataset.h"
#include "segment/quality.h"

namespace orchard::segment {

// One case with what the page shows of it. `truth`, where there is a reference: Dice of label 1, 2,
// ... at the plan's spacing.
struct AssessedCase {
  CaseQuality quality;
  std::vector<double> truth;
  std::vector<std::byte> picture;  // PNG; may be empty
};

// How well predicted numbers follow the true ones, over cases and classes where both are defined.
struct Agreement {
  int64_t count = 0;
  double pearson = 0, spearman = 0;
  double mean_error = 0;  // mean absolute difference
};
Agreement Correlate(const std::vector<double>& predicted, const std::vector<double>& truth);

nlohmann::ordered_json QualityJson(const CaseQuality& quality,
                                   const std::vector<LabelName>& labels);
// Of all cases; with references the agreement of each number with the true Dice.
nlohmann::ordered_json QualityJson(const std::vector<AssessedCase>& cases,
                                   const std::vector<LabelName>& labels);
// One line per case and class.
std::string QualityCsv(const std::vector<AssessedCase>& cases,
                       const std::vector<LabelName>& labels);
// The most doubtful cases first, `pictures` of them with their picture. `options` say what the
// verdicts are by.
run::Report QualityReport(const std::vector<AssessedCase>& cases,
                          const std::vector<LabelName>& labels, const QualityOptions& options,
                          int64_t pictures);

// Three planes through the voxel with most disagreement: the label map outlined, disagreement as
// heat.
io::Image DrawDisagreement(const PreparedCase& c, const CaseQuality& quality, const Plan& plan,
                           int64_t pixels);

}  // namespace orchard::segment
