#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/number_format.h"
#include "place/generate.h"
#include "place/paper/placed.h"

namespace orchard::place::paper {
namespace {

constexpr int32_t kDevices = 8;
struct Method {
  const char* label;
  Algorithm algorithm;
  Comm comm;
};
constexpr Method kMethods[] = {{"m-topo", Algorithm::kMTopo, Comm::kParallel},
                               {"m-etf", Algorithm::kMEtf, Comm::kParallel},
                               {"m-etf, half duplex", Algorithm::kMEtf, Comm::kHalf},
                               {"m-sct", Algorithm::kMSct, Comm::kParallel},
                               {"heft", Algorithm::kHeft, Comm::kParallel}};

std::vector<int64_t> Sizes(const Setting& setting) {
  std::vector<int64_t> sizes = {100, 316, 1000, 3162, 10000, 31623};
  if (setting.full) sizes.push_back(100000);
  return sizes;
}

std::string CaseName(const Method& method, int64_t size) {
  return fmt::format("E6/{}/{}", method.label, size);
}

double ProcessorSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

run::Numbers Measure(const Method& method, int64_t size, const Setting& setting) {
  const GenerateOptions shape{
      .ops = size,
      .width = std::max<int64_t>(10, static_cast<int64_t>(std::sqrt(static_cast<double>(size)))),
      .us = 1000};
  const Graph graph = Generate(shape, setting.seed);
  PlaceOptions options = OneAlgorithm(method.algorithm, Grouping::kNone, false);
  options.lp_time_limit = setting.full ? 180 : 20;
  const Cluster cluster = PublishedCluster(kDevices, method.comm);
  const double begin = ProcessorSeconds();
  run::Numbers numbers = PlaceCase(graph, cluster, options, setting.seed);
  numbers["processor_seconds"] = ProcessorSeconds() - begin;
  return numbers;
}

// Exponent of a power law through the last points, by least squares of logarithms.
double Exponent(const std::vector<double>& x, const std::vector<double>& y) {
  constexpr size_t kPoints = 4;
  const size_t n = std::min(kPoints, x.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t k = x.size() - n; k < x.size(); ++k) {
    mean_x += std::log(x[k]) / static_cast<double>(n);
    mean_y += std::log(y[k]) / static_cast<double>(n);
  }
  for (size_t k = x.size() - n; k < x.size(); ++k) {
    xx += (std::log(x[k]) - mean_x) * (std::log(x[k]) - mean_x);
    xy += (std::log(x[k]) - mean_x) * (std::log(y[k]) - mean_y);
  }
  return xy / xx;
}

}  // namespace

std::vector<Case> PlanningTimeCases(const Setting& setting) {
  std::vector<Case> cases;
  for (int64_t size : Sizes(setting)) {
    for (const Method& method : kMethods) {
      cases.push_back({CaseName(method, size),
                       [&setting, method, size] { return Measure(method, size, setting); }, true});
    }
  }
  return cases;
}

run::ExperimentResult PlanningTime(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "Placing takes seconds where learning-based placers take hours (the paper: 654 to 206,000 "
      "times "
      "less), and grows little faster than the graph.";
  run::Table table{
      .caption = fmt::format("Layered random graphs of two inputs each, {} devices: seconds of "
                             "planning, and of the processor for all of it",
                             kDevices),
      .columns = {"Operators"}};
  run::Chart chart{.title = "Planning",
                   .x = {.title = "operators", .logarithmic = true},
                   .y = {.title = "time", .unit = "s", .logarithmic = true}};
  for (const Method& method : kMethods) {
    table.columns.push_back(fmt::format("{} (s)", method.label));
    table.columns.emplace_back("processor (s)");
  }
  for (int64_t size : Sizes(setting)) {
    std::vector<run::Cell> row = {size};
    for (const Method& method : kMethods) {
      row.emplace_back(results.At(CaseName(method, size), "plan_seconds"), 3);
      row.emplace_back(results.At(CaseName(method, size), "processor_seconds"), 3);
    }
    table.rows.push_back(row);
  }
  for (const Method& method : kMethods) {
    run::Series series{.name = method.label};
    for (int64_t size : Sizes(setting)) {
      series.x.push_back(static_cast<double>(size));
      series.y.push_back(std::max(1e-6, results.At(CaseName(method, size), "plan_seconds")));
    }
    std::vector<double> processor;  // which other work on the machine disturbs least
    for (int64_t size : Sizes(setting))
      processor.push_back(results.At(CaseName(method, size), "processor_seconds"));
    result.measurements.push_back({fmt::format("{}: exponent of the growth", method.label),
                                   "",
                                   run::Single(Exponent(series.x, processor)),
                                   {}});
    result.measurements.push_back({fmt::format("{}: planning {} operators", method.label,
                                               FormatInteger(Sizes(setting).back())),
                                   "s",
                                   run::Single(series.y.back()),
                                   {}});
    chart.series.push_back(series);
  }
  result.tables = {table};
  result.charts = {chart};
  result.notes.emplace_back(
      "m-SCT solves a linear programme whose rows and columns grow with the edges; beyond its "
      "limits of "
      "size and time the matching stands in, and the curve bends down. Times are of this machine "
      "as it was "
      "loaded; the processor's include fusion, simulation and the replay of memory.");
  return result;
}

}  // namespace orchard::place::paper
