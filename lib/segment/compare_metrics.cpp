#include "segment/compare_metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json_file.h"

namespace orchard::segment {
namespace {

using nlohmann::json;

// Numbers by case, class and name.
using Values = std::map<std::string, std::map<std::string, std::map<std::string, double>>>;

Values ReadMetrics(std::filesystem::path path) {
  if (std::filesystem::is_directory(path)) path /= "metrics.json";
  const json file = io::ReadJsonFile(path);
  Values values;
  try {
    for (const json& one : file.at("metric_per_case")) {
      // nnU-Net's summaries name files, not cases.
      const std::string name =
          one.contains("case") ? one.at("case").get<std::string>()
                               : std::filesystem::path(one.at("prediction_file").get<std::string>())
                                     .filename()
                                     .string();
      for (const auto& [region, metrics] : one.at("metrics").items()) {
        std::map<std::string, double>& numbers = values[name][region];
        for (const auto& [metric, value] : metrics.items())
          if (value.is_number()) numbers[metric] = value.get<double>();
      }
    }
  } catch (const json::exception&) {
    throw DataError("not the metrics of an evaluation", path.string());
  }
  if (values.empty()) throw DataError("no case", path.string());
  return values;
}

}  // namespace

Comparison CompareMetrics(const CompareOptions& options, uint64_t seed) {
  const Values first = ReadMetrics(options.first), second = ReadMetrics(options.second);
  Comparison comparison;
  std::vector<std::string> cases;
  for (const auto& [name, regions] : first)
    (second.contains(name) ? cases : comparison.unpaired).push_back(name);
  for (const auto& [name, regions] : second)
    if (!first.contains(name)) comparison.unpaired.push_back(name);
  if (cases.empty())
    throw DataError("no case is in both",
                    options.first.string() + " and " + options.second.string());

  // Classes in the order of the first file's cases.
  std::map<std::string, bool> regions;
  for (const std::string& name : cases)
    for (const auto& [region, metrics] : first.at(name))
      if (second.at(name).contains(region)) regions[region] = true;
  for (const std::string& metric : options.metrics) {
    bool known = false;
    for (const auto& [region, ignored] : regions) {
      PairedDifference result{.region = region, .metric = metric};
      std::vector<double> differences;
      for (const std::string& name : cases) {
        const auto &a = first.at(name), &b = second.at(name);
        if (!a.contains(region) || !b.contains(region)) continue;
        const auto x = a.at(region).find(metric), y = b.at(region).find(metric);
        if (x == a.at(region).end() || y == b.at(region).end()) continue;
        known = true;
        result.first += x->second;
        result.second += y->second;
        differences.push_back(y->second - x->second);
      }
      if (differences.empty()) continue;
      result.first /= static_cast<double>(differences.size());
      result.second /= static_cast<double>(differences.size());
      result.difference = Describe(differences, options.resamples, seed,
                                   fmt::format("difference {} {}", metric, region));
      result.p = WilcoxonP(differences);
      comparison.differences.push_back(std::move(result));
    }
    if (!known)
      throw UsageError("no case has a number called '" + metric + "' in both files", "--metrics",
                       "e.g. Dice,HD95");
  }
  return comparison;
}

}  // namespace orchard::segment
