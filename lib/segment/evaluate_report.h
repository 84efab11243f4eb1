// What came out of an evaluation: JSON, a table, and a page that shows the worst cases.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "run/report.h"
#include "segment/evaluate.h"

namespace orchard::segment {

// metrics.json (docs/formats.md): keyed as nnU-Net's summary.json, metric_per_case, mean and
// foreground_mean, and statistics with intervals. NaN is null, infinity the text "inf".
nlohmann::ordered_json MetricsJson(const Evaluation& evaluation, int64_t resamples, uint64_t seed);

// failures.json: unmatched and failed cases.
nlohmann::ordered_json FailuresJson(const Evaluation& evaluation);

// One line per case and region.
std::string MetricsCsv(const Evaluation& evaluation);

// Mean over the regions of their means over cases (nnU-Net's rule).
double ForegroundMean(const Evaluation& evaluation, const MetricColumn& column);

// A region as people call it: the name of its only label, if it has one.
std::string DisplayName(const Evaluation& evaluation, size_t region);

// Tables, box plots and, of the worst cases by mean Dice, pictures: the reference filled, the
// prediction outlined, on the images of --images or on black.
run::Report EvaluationReport(const Evaluation& evaluation, const EvaluateOptions& options,
                             uint64_t seed, int threads);

}  // namespace orchard::segment
