#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "place/paper/placed.h"
#include "place/place.h"

namespace orchard::place::paper {
namespace {

constexpr Comm kComms[] = {Comm::kParallel, Comm::kHalf};
constexpr Algorithm kPaper[] = {Algorithm::kMTopo, Algorithm::kMTopoFill, Algorithm::kMEtf,
                                Algorithm::kMSct};
constexpr Algorithm kHefts[] = {Algorithm::kHeft, Algorithm::kHeftLookahead};

std::string CaseName(const std::string& graph, Comm comm) {
  return fmt::format("E8/{}/{}", graph, Name(comm));
}

std::vector<const NamedGraph*> Graphs(const Setting& setting) {
  std::vector<const NamedGraph*> graphs = setting.Models();
  for (const NamedGraph& other : setting.others) graphs.push_back(&other);
  return graphs;
}

// Every algorithm with the best of its settings, and auto.
run::Numbers EveryMethod(const NamedGraph& named, Comm comm, const Setting& setting) {
  PlaceOptions options;
  options.refine_steps = setting.full ? 5000 : 100;
  options.lp_time_limit = setting.full ? 60 : 20;
  const Cluster cluster = PublishedCluster(named.devices, comm);
  const Problem problem(named.graph, cluster, {}, MustShare(named.graph, options));
  run::Numbers numbers;
  for (const Member& member : RunAll(problem, options, {.seed = setting.seed})) {
    if (member.placed)
      numbers[Name(member.algorithm)] = ToMicroseconds(member.result.schedule.makespan);
  }
  const run::Numbers best = PlaceCase(named.graph, cluster, options, setting.seed);
  numbers["auto"] = best.at("makespan_us");
  numbers["bound"] = best.at("bound_us");
  return numbers;
}

double Least(const run::Numbers& numbers, std::span<const Algorithm> algorithms) {
  double least = std::numeric_limits<double>::infinity();
  for (Algorithm algorithm : algorithms) {
    const auto found = numbers.find(Name(algorithm));
    if (found != numbers.end()) least = std::min(least, found->second);
  }
  return least;
}

struct Tally {
  int64_t pairs = 0, heft_wins = 0, single_wins = 0, auto_gains = 0;
  double auto_over_single = 0, auto_over_best = 0;
};

void Count(const run::Numbers& numbers, Tally& tally) {
  const double paper = Least(numbers, kPaper), heft = Least(numbers, kHefts);
  const double single = numbers.at("single"), found = numbers.at("auto");
  double best = std::numeric_limits<double>::infinity();
  for (const auto& [label, algorithm] : kAlgorithmNames) {
    const auto us = numbers.find(label);
    if (algorithm != Algorithm::kAuto && us != numbers.end()) best = std::min(best, us->second);
  }
  ++tally.pairs;
  tally.heft_wins += heft < paper ? 1 : 0;
  tally.single_wins += single <= paper ? 1 : 0;
  tally.auto_gains += found < 0.99 * paper ? 1 : 0;
  tally.auto_over_single = std::max(tally.auto_over_single, found / single);
  tally.auto_over_best = std::max(tally.auto_over_best, found / best);
}

run::Table MakespanTable(const Setting& setting, const Results& results, Comm comm) {
  run::Table table{
      .caption = fmt::format("{} links: makespan in ms, each method with the best of its settings",
                             Name(comm)),
      .columns = {"Graph", "Operators", "Devices"}};
  for (const auto& [label, algorithm] : kAlgorithmNames) {
    if (algorithm != Algorithm::kAuto) table.columns.emplace_back(label);
  }
  for (const char* column : {"auto", "lower bound", "best"}) table.columns.emplace_back(column);
  for (const NamedGraph* named : Graphs(setting)) {
    const std::string name = CaseName(named->name, comm);
    std::vector<run::Cell> row = {named->name, static_cast<int64_t>(named->graph.size()),
                                  static_cast<int64_t>(named->devices)};
    std::string best = "-";
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [label, algorithm] : kAlgorithmNames) {
      if (algorithm == Algorithm::kAuto) continue;
      const double us = results.At(name, label);
      row.push_back(Milliseconds(us));
      if (us < least) best = label;
      least = std::min(least, std::isfinite(us) ? us : least);
    }
    const double found = results.At(name, "auto");
    row.push_back(Milliseconds(found));
    row.push_back(Milliseconds(results.At(name, "bound")));
    row.emplace_back(found < least ? "auto, before " + best : best);
    table.rows.push_back(row);
  }
  return table;
}

}  // namespace

std::vector<Case> AllGraphsCases(const Setting& setting) {
  std::vector<Case> cases;
  for (const NamedGraph* named : Graphs(setting)) {
    for (Comm comm : kComms) {
      cases.push_back({CaseName(named->name, comm),
                       [named, comm, &setting] { return EveryMethod(*named, comm, setting); }});
    }
  }
  return cases;
}

run::ExperimentResult AllGraphs(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "auto is never worse than any method, nor than one device. How often a textbook method or "
      "one device "
      "beats what the paper proposes is counted, not promised.";
  for (Comm comm : kComms) {
    Tally tally;
    run::Chart chart{.kind = run::Chart::Kind::kBar,
                     .title = fmt::format("Over one device, {} links", Name(comm)),
                     .y = {.title = "makespan over one device's"}};
    run::Series paper{.name = "best of the paper's"}, heft{.name = "best of HEFT's"},
        found{.name = "auto"};
    for (const NamedGraph* named : Graphs(setting)) {
      const run::Numbers& numbers = results.Of(CaseName(named->name, comm));
      Count(numbers, tally);
      const double single = numbers.at("single");
      chart.categories.push_back(named->name);
      paper.y.push_back(Least(numbers, kPaper) / single);
      heft.y.push_back(Least(numbers, kHefts) / single);
      found.y.push_back(numbers.at("auto") / single);
    }
    chart.series = {paper, heft, found};
    const auto at_most_one = run::Expectation{run::Relation::kAtMost, 1, true};
    const auto count = [&](const char* what, int64_t n) {
      result.measurements.push_back({fmt::format("{}: graphs where {}", Name(comm), what),
                                     "",
                                     run::Single(static_cast<double>(n)),
                                     {}});
    };
    result.measurements.push_back({fmt::format("{}: largest auto / one device", Name(comm)), "",
                                   run::Single(tally.auto_over_single), at_most_one});
    result.measurements.push_back({fmt::format("{}: largest auto / best method", Name(comm)), "",
                                   run::Single(tally.auto_over_best), at_most_one});
    result.measurements.push_back({fmt::format("{}: graphs", Name(comm)),
                                   "",
                                   run::Single(static_cast<double>(tally.pairs)),
                                   {}});
    count("HEFT beats the paper's algorithms", tally.heft_wins);
    count("one device is as good as the paper's algorithms", tally.single_wins);
    count("auto beats the paper's algorithms by more than 1 %", tally.auto_gains);
    result.tables.push_back(MakespanTable(setting, results, comm));
    result.charts.push_back(chart);
  }
  return result;
}

}  // namespace orchard::place::paper
