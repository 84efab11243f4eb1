#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "place/paper/placed.h"
#include "place/place.h"

namespace orchard::place::paper {
namespace {

constexpr double kFractions[] = {1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.275, 0.25};
constexpr Algorithm kAlgorithms[] = {
    Algorithm::kSingle,        Algorithm::kMTopo,       Algorithm::kMTopoFill,
    Algorithm::kMEtf,          Algorithm::kMSct,        Algorithm::kHeft,
    Algorithm::kHeftLookahead, Algorithm::kMemorySplit, Algorithm::kAuto};
constexpr int32_t kDevices = 4;

std::string CaseName(const std::string& graph, double fraction, Algorithm algorithm) {
  return fmt::format("E3/{}/{:g}/{}", graph, fraction, Name(algorithm));
}

PlaceOptions Training(Algorithm algorithm, const Setting& setting) {
  PlaceOptions options;
  options.algo = algorithm;
  options.group = Grouping::kCoplaceCapped;
  if (algorithm == Algorithm::kAuto && setting.full) options.group.reset();  // all
  options.mode = Mode::kTrain;
  options.refine_steps = setting.full ? 1000 : 0;
  return options;
}

// Bytes that one device needs for a training step.
int64_t Need(const Graph& graph, const Setting& setting) {
  const auto numbers = PlaceCase(graph, PublishedCluster(1, Comm::kParallel),
                                 Training(Algorithm::kSingle, setting), 0);
  return static_cast<int64_t>(numbers.at("peak"));
}

}  // namespace

std::vector<Case> MemorySweepCases(const Setting& setting) {
  std::vector<Case> cases;
  for (const NamedGraph* model : setting.Models()) {
    for (double fraction : kFractions) {
      for (Algorithm algorithm : kAlgorithms) {
        cases.push_back(
            {CaseName(model->name, fraction, algorithm), [model, fraction, algorithm, &setting] {
               const double need = static_cast<double>(Need(model->graph, setting));
               const auto limit = static_cast<int64_t>(need * fraction);
               run::Numbers numbers =
                   PlaceCase(model->graph, PublishedCluster(kDevices, Comm::kParallel, limit),
                             Training(algorithm, setting), setting.seed);
               numbers["limit"] = static_cast<double>(limit);
               return numbers;
             }});
      }
    }
  }
  return cases;
}

run::ExperimentResult MemorySweep(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "With training memory (parameters, gradients, Adam's states, what the backward pass needs), "
      "four "
      "devices of equal memory hold a model that one does not; a placement never overruns its "
      "limit.";
  double largest_over = 0, worst_share = 0;
  int64_t single_below_need = 0, missed = 0, placed = 0;
  for (const NamedGraph* model : setting.Models()) {
    run::Chart chart{.title = model->name + ": makespan against memory per device",
                     .x = {.title = "memory of a device over what one device needs"},
                     .y = {.title = "makespan", .unit = "ms"}};
    run::Table table{
        .caption = model->name + ": makespan in ms, - where nothing was found that fits",
        .columns = {"Memory of a device", "Part of the need"}};
    for (Algorithm algorithm : kAlgorithms) {
      chart.series.push_back({.name = Name(algorithm)});
      table.columns.emplace_back(Name(algorithm));
    }
    double least = 2;  // fraction at which auto still places
    for (double fraction : kFractions) {
      const double limit = results.At(CaseName(model->name, fraction, Algorithm::kAuto), "limit");
      std::vector<run::Cell> row = {run::Cell::Shown(fmt::format("{:.0f} MB", limit / 1e6), limit),
                                    run::Cell(fraction, 3)};
      bool any = false;
      for (size_t k = 0; k < std::size(kAlgorithms); ++k) {
        const std::string name = CaseName(model->name, fraction, kAlgorithms[k]);
        const double us = results.At(name, "makespan_us");
        const bool feasible = results.At(name, "feasible") > 0;
        row.push_back(Milliseconds(us));
        chart.series[k].x.push_back(fraction);
        chart.series[k].y.push_back(us / 1000);
        if (!feasible) continue;
        ++placed;
        any = true;
        largest_over = std::max(largest_over, results.At(name, "over"));
        worst_share = std::max(worst_share, results.At(name, "peak") / limit);
        if (kAlgorithms[k] == Algorithm::kSingle && fraction < 1) ++single_below_need;
        if (kAlgorithms[k] == Algorithm::kAuto) least = std::min(least, fraction);
      }
      if (any && results.At(CaseName(model->name, fraction, Algorithm::kAuto), "feasible") == 0)
        ++missed;
      table.rows.push_back(row);
    }
    result.measurements.push_back(
        {model->name + ": smallest part of the need with a placement", "", run::Single(least), {}});
    result.charts.push_back(chart);
    result.tables.push_back(table);
  }
  const auto none = run::Expectation{run::Relation::kAtMost, 0, true};
  auto& m = result.measurements;
  m.push_back({"placements found", "", run::Single(static_cast<double>(placed)), {}});
  m.push_back({"largest overrun of a limit (bytes)", "B", run::Single(largest_over), none});
  m.push_back({"largest peak over its limit", "", run::Single(worst_share),
               run::Expectation{run::Relation::kAtMost, 1, true}});
  m.push_back({"placements on one device below its need", "",
               run::Single(static_cast<double>(single_below_need)), none});
  m.push_back({"limits where auto finds nothing although a method does", "",
               run::Single(static_cast<double>(missed)), none});
  return result;
}

}  // namespace orchard::place::paper
