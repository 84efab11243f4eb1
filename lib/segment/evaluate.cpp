#include "segment/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "run/shard.h"
#include "segment/label_map.h"

namespace orchard::segment {
namespace {

using volume::Metrics;
using volume::Region;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// "whole=1+2".
Region ParseRegion(const std::string& text) {
  const size_t equals = text.find('=');
  Region region{.name = text.substr(0, equals)};
  for (size_t at = equals; at != std::string::npos;) {
    const size_t next = text.find('+', at + 1);
    const std::string number =
        text.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    const bool digits = !number.empty() && number.size() <= 5 &&
                        number.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) {
      throw UsageError("not a region: '" + text + "'", "--regions", "e.g. whole=1+2");
    }
    region.labels.push_back(std::stoll(number));
    at = next;
  }
  if (region.name.empty() || region.labels.empty())
    throw UsageError("not a region: '" + text + "'", "--regions", "e.g. whole=1+2");
  return region;
}

// Regions that the options name; empty: those of the references.
std::vector<Region> GivenRegions(const EvaluateOptions& options) {
  std::vector<Region> regions;
  for (int64_t label : options.labels) regions.push_back({std::to_string(label), {label}});
  for (const std::string& text : options.regions) regions.push_back(ParseRegion(text));
  std::set<std::string> names;
  for (const Region& region : regions) {
    if (!names.insert(region.name).second)
      throw UsageError("a region twice: '" + region.name + "'", "--labels, --regions");
    for (int64_t label : region.labels)
      if (label < 1 || label > 65535)
        throw UsageError(fmt::format("label {} is not in 1..65535", label), "--labels, --regions");
  }
  return regions;
}

// The labels of all references. A file that cannot be read is left to its case.
std::vector<Region> FoundRegions(const std::vector<EvaluatedCase>& cases, ThreadPool& pool) {
  std::vector<std::vector<int64_t>> found(cases.size());
  pool.ForEach(static_cast<int64_t>(cases.size()), [&](int64_t c) {
    try {
      found[static_cast<size_t>(c)] =
          volume::LabelsIn(ReadLabelMap(cases[static_cast<size_t>(c)].reference).labels);
    } catch (const DataError&) {
      found[static_cast<size_t>(c)].clear();
    }
  });
  std::set<int64_t> labels;
  for (const std::vector<int64_t>& of_case : found) labels.insert(of_case.begin(), of_case.end());
  std::vector<Region> regions;
  regions.reserve(labels.size());
  for (int64_t label : labels) regions.push_back({std::to_string(label), {label}});
  return regions;
}

// ---- a case in the store: numbers by region and field; infinite ones by a name of their own ----

struct Field {
  const char* name;
  double Metrics::*value;
};
constexpr Field kFields[] = {{"dice", &Metrics::dice},
                             {"iou", &Metrics::iou},
                             {"precision", &Metrics::precision},
                             {"recall", &Metrics::recall},
                             {"vs", &Metrics::volume_similarity},
                             {"rvd", &Metrics::relative_volume_difference},
                             {"volume", &Metrics::volume_ml},
                             {"reference", &Metrics::reference_ml},
                             {"hd", &Metrics::hd},
                             {"hd95", &Metrics::hd95},
                             {"pooled", &Metrics::hd95_pooled},
                             {"assd", &Metrics::assd},
                             {"masd", &Metrics::masd}};
struct CountField {
  const char* name;
  int64_t Metrics::*value;
};
constexpr CountField kCounts[] = {{"tp", &Metrics::true_positives},
                                  {"fp", &Metrics::false_positives},
                                  {"fn", &Metrics::false_negatives},
                                  {"tn", &Metrics::true_negatives}};

void Keep(run::Numbers& numbers, const std::string& key, double value) {
  if (std::isinf(value))
    numbers[key + " infinite"] = 1;
  else if (!std::isnan(value))
    numbers[key] = value;
}
double Kept(const run::Numbers& numbers, const std::string& key) {
  if (numbers.contains(key + " infinite")) return std::numeric_limits<double>::infinity();
  const auto at = numbers.find(key);
  return at == numbers.end() ? kNone : at->second;
}

std::string HasKey(int64_t label) { return fmt::format("has {}", label); }

run::Numbers ToNumbers(const std::vector<Metrics>& regions) {
  run::Numbers numbers;
  for (size_t r = 0; r < regions.size(); ++r) {
    const std::string prefix = std::to_string(r) + " ";
    for (const Field& field : kFields) Keep(numbers, prefix + field.name, regions[r].*field.value);
    for (const CountField& field : kCounts)
      numbers[prefix + field.name] = static_cast<double>(regions[r].*field.value);
    for (size_t t = 0; t < regions[r].nsd.size(); ++t)
      Keep(numbers, prefix + "nsd" + std::to_string(t), regions[r].nsd[t]);
  }
  return numbers;
}

std::vector<Metrics> FromNumbers(const run::Numbers& numbers, size_t regions, size_t tolerances) {
  std::vector<Metrics> result(regions);
  for (size_t r = 0; r < regions; ++r) {
    const std::string prefix = std::to_string(r) + " ";
    for (const Field& field : kFields) result[r].*field.value = Kept(numbers, prefix + field.name);
    for (const CountField& field : kCounts)
      result[r].*field.value = static_cast<int64_t>(Kept(numbers, prefix + field.name));
    for (size_t t = 0; t < tolerances; ++t)
      result[r].nsd.push_back(Kept(numbers, prefix + "nsd" + std::to_string(t)));
    result[r].prediction_empty = result[r].PredictionVoxels() == 0;
    result[r].reference_empty = result[r].ReferenceVoxels() == 0;
  }
  return result;
}

std::set<int64_t> LabelsOf(const std::vector<Region>& regions) {
  std::set<int64_t> labels;
  for (const Region& region : regions) labels.insert(region.labels.begin(), region.labels.end());
  return labels;
}

void CompareFiles(EvaluatedCase& c, const Evaluation& evaluation, const EvaluateOptions& options,
                  ThreadPool& pool) {
  LabelMap reference = ReadLabelMap(c.reference), prediction = ReadLabelMap(c.prediction);
  // A reference that leaves out slices takes the prediction's grid.
  if (reference.part && !prediction.part)
    reference = OnGrid(std::move(reference), prediction.grid, c.reference.string());
  prediction = OnGrid(std::move(prediction), reference.grid, c.prediction.string());
  const io::Vec3 spacing = reference.grid.affine.Spacing();
  c.regions = volume::CompareLabels(prediction.labels, reference.labels, reference.grid.size,
                                    spacing, evaluation.regions,
                                    {.surface = options.surface,
                                     .compatibility = options.compat,
                                     .tolerances = evaluation.tolerances,
                                     .distances = options.distances},
                                    pool);
  const std::set<int64_t> wanted = LabelsOf(evaluation.regions);
  for (const LabelMap* map : {&prediction, &reference}) {
    for (const int64_t label : volume::LabelsIn(map->labels))
      if (wanted.contains(label)) c.labels.insert(label);
  }
}

}  // namespace

size_t Evaluation::Failed() const {
  return static_cast<size_t>(std::count_if(
      cases.begin(), cases.end(), [](const EvaluatedCase& c) { return !c.error.empty(); }));
}

std::vector<int64_t> Evaluation::AbsentLabels() const {
  if (!whole || Failed() > 0) return {};
  std::set<int64_t> absent = LabelsOf(regions);
  for (const EvaluatedCase& c : cases)
    for (const int64_t label : c.labels) absent.erase(label);
  return {absent.begin(), absent.end()};
}

std::vector<MetricColumn> MetricColumns(const Evaluation& evaluation) {
  const auto field = [](double Metrics::*value) {
    return [value](const Metrics& m) { return m.*value; };
  };
  std::vector<MetricColumn> columns = {
      {"Dice", "", 4, true, field(&Metrics::dice)},
      {"IoU", "", 4, true, field(&Metrics::iou)},
      {"Precision", "", 4, true, field(&Metrics::precision)},
      {"Recall", "", 4, true, field(&Metrics::recall)},
      {"VolumeSimilarity", "", 4, true, field(&Metrics::volume_similarity)},
      {"RVD", "", 4, false, field(&Metrics::relative_volume_difference)},
      {"VolumeMl", "mL", 4, true, field(&Metrics::volume_ml)},
      {"ReferenceMl", "mL", 4, true, field(&Metrics::reference_ml)}};
  if (!evaluation.distances) return columns;
  columns.push_back({"HD", "mm", 4, false, field(&Metrics::hd)});
  columns.push_back({"HD95", "mm", 4, false, field(&Metrics::hd95)});
  columns.push_back({"HD95Pooled", "mm", 4, false, field(&Metrics::hd95_pooled)});
  columns.push_back({"ASSD", "mm", 4, false, field(&Metrics::assd)});
  columns.push_back({"MASD", "mm", 4, false, field(&Metrics::masd)});
  for (size_t t = 0; t < evaluation.tolerances.size(); ++t) {
    columns.push_back({fmt::format("NSD@{:g}mm", evaluation.tolerances[t]), "", 4, true,
                       [t](const Metrics& m) { return t < m.nsd.size() ? m.nsd[t] : kNone; }});
  }
  return columns;
}

Distribution DescribeColumn(const Evaluation& evaluation, const MetricColumn& column, size_t region,
                            int64_t resamples, uint64_t seed) {
  std::vector<double> values;
  for (const EvaluatedCase& c : evaluation.cases)
    if (c.error.empty()) values.push_back(column.value(c.regions[region]));
  return Describe(values, resamples, seed, column.name + " " + evaluation.regions[region].name);
}

Evaluation Evaluate(const EvaluateOptions& options, const run::CaseStore& store, int threads,
                    const std::function<void(const std::string&)>& done) {
  Evaluation evaluation;
  evaluation.regions = GivenRegions(options);
  evaluation.names = ParseNames(options.names, "--names");
  evaluation.tolerances = options.tolerances;
  evaluation.distances = options.distances;
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  evaluation.whole = shard.IsWhole();

  auto predictions = FindCases(options.pred);
  const auto references = FindCases(options.ref);
  // Two files are a pair whatever they are called.
  if (predictions.size() == 1 && references.size() == 1 &&
      std::filesystem::is_regular_file(options.pred) &&
      std::filesystem::is_regular_file(options.ref))
    predictions = {{references.begin()->first, predictions.begin()->second}};
  std::vector<EvaluatedCase> all;
  for (const auto& [name, reference] : references) {
    const auto prediction = predictions.find(name);
    if (prediction == predictions.end())
      evaluation.unmatched.push_back(name + ": no prediction");
    else
      all.push_back({.name = name, .prediction = prediction->second, .reference = reference});
  }
  for (const auto& [name, prediction] : predictions)
    if (!references.contains(name)) evaluation.unmatched.push_back(name + ": no reference");
  if (all.empty()) {
    throw DataError("no case has both a prediction and a reference",
                    options.pred.string() + " and " + options.ref.string(),
                    "files are matched by name");
  }

  ThreadPool outer(threads);
  // The same regions in every shard: from all references.
  if (evaluation.regions.empty()) evaluation.regions = FoundRegions(all, outer);
  if (evaluation.regions.empty())
    throw DataError("no reference has a label other than 0", options.ref.string());
  for (size_t c = 0; c < all.size(); ++c)
    if (shard.Takes(static_cast<int64_t>(c))) evaluation.cases.push_back(std::move(all[c]));

  // Few cases share the threads within a case, many run side by side.
  const auto count = static_cast<int64_t>(evaluation.cases.size());
  const int side_by_side =
      static_cast<int>(std::min<int64_t>(threads, std::max<int64_t>(1, count)));
  ThreadPool cases(side_by_side);
  std::mutex mutex;
  cases.ForEach(count, [&](int64_t index) {
    EvaluatedCase& c = evaluation.cases[static_cast<size_t>(index)];
    try {
      if (const auto kept = store.Find(c.name)) {
        c.regions = FromNumbers(*kept, evaluation.regions.size(),
                                evaluation.distances ? evaluation.tolerances.size() : 0);
        for (const int64_t label : LabelsOf(evaluation.regions))
          if (kept->contains(HasKey(label))) c.labels.insert(label);
      } else {
        ThreadPool inner(std::max(1, threads / side_by_side));
        CompareFiles(c, evaluation, options, inner);
        run::Numbers numbers = ToNumbers(c.regions);
        for (const int64_t label : c.labels) numbers[HasKey(label)] = 1;
        store.Save(c.name, numbers);
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::kData) throw;
      c.error = error.what();
      c.exit_code = static_cast<int>(error.code());
    }
    const std::lock_guard lock(mutex);
    done(c.name);
  });
  return evaluation;
}

}  // namespace orchard::segment
