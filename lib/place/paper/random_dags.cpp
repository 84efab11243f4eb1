#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/philox.h"
#include "place/exhaustive.h"
#include "place/paper/placed.h"
#include "place/place.h"

namespace orchard::place::paper {
namespace {

constexpr int32_t kOps = 7, kDevices = 2;
constexpr double kEdgeProbability = 0.3;
constexpr int64_t kPerCase = 25;
constexpr Algorithm kAlgorithms[] = {
    Algorithm::kSingle, Algorithm::kMTopo,         Algorithm::kMEtf, Algorithm::kMSct,
    Algorithm::kHeft,   Algorithm::kHeftLookahead, Algorithm::kAuto};
constexpr Comm kComms[] = {Comm::kHalf, Comm::kParallel};

int64_t Graphs(const Setting& setting) { return setting.full ? 1000 : 150; }

// Works 5 to 10 us, costs of a producer's tensor 1 to 5 us, every operator with an edge: small
// communication times. Drawn anew until no operator is alone.
Graph RandomGraph(uint64_t seed, int64_t index) {
  const Philox2 key = PhiloxKey(seed, Hash64("baechi-place random DAGs"));
  for (uint64_t attempt = 0;; ++attempt) {
    uint64_t draw = 0;
    const auto below = [&](uint32_t n) {
      const uint32_t word =
          PhiloxAt(key, static_cast<uint64_t>(index), attempt << 32 | draw++).word[0];
      return static_cast<int32_t>(static_cast<uint64_t>(word) * n >> 32);
    };
    GraphBuilder builder("random graph");
    std::vector<int32_t> cost;
    for (int32_t i = 0; i < kOps; ++i) {
      builder.AddOp({.name = fmt::format("v{}", i), .us = 5.0 + below(6), .out = {8}}, "");
      cost.push_back(1 + below(5));
    }
    std::vector<uint8_t> touched(kOps, 0);
    for (int32_t i = 0; i < kOps; ++i) {
      for (int32_t j = i + 1; j < kOps; ++j) {
        if (below(1000) >= static_cast<int32_t>(1000 * kEdgeProbability)) continue;
        builder.AddUse(i, j, fmt::format("v{}:0", i), 8, cost[i], "");
        touched[i] = touched[j] = 1;
      }
    }
    if (std::all_of(touched.begin(), touched.end(), [](uint8_t t) { return t != 0; }))
      return builder.Build();
  }
}

std::string CaseName(Comm comm, int64_t first) {
  return fmt::format("E4/{}/{}", Name(comm), first);
}
std::string Key(int64_t index, const char* what) { return fmt::format("{} {}", index, what); }

run::Numbers Block(uint64_t seed, Comm comm, int64_t first, int64_t count) {
  run::Numbers numbers;
  const Cluster cluster = PublishedCluster(kDevices, comm);
  for (int64_t k = first; k < first + count; ++k) {
    const Graph graph = RandomGraph(seed, k);
    const Problem problem(graph, cluster, {}, MustShare(graph, {}));
    const double best = ToMicroseconds(TryAll(problem).schedule.makespan);
    numbers[Key(k, "best")] = best;
    numbers[Key(k, "promised")] = FindSctRegime(problem.ops, cluster).etf_ratio;
    for (Algorithm algorithm : kAlgorithms) {
      PlaceOptions options = OneAlgorithm(algorithm, Grouping::kTf, false);
      if (algorithm == Algorithm::kAuto) options.group.reset();
      numbers[Key(k, Name(algorithm))] = PlaceCase(graph, cluster, options, seed)["makespan_us"];
    }
  }
  return numbers;
}

// Ratios to the best placement over all graphs.
std::vector<double> Ratios(const Setting& setting, const Results& results, Comm comm,
                           Algorithm algorithm) {
  std::vector<double> ratios;
  for (int64_t k = 0; k < Graphs(setting); ++k) {
    const std::string name = CaseName(comm, k / kPerCase * kPerCase);
    ratios.push_back(results.At(name, Key(k, Name(algorithm))) / results.At(name, Key(k, "best")));
  }
  return ratios;
}

// Part of the graphs with a ratio of at most x.
run::Series Distribution(std::vector<double> ratios, const char* name) {
  std::sort(ratios.begin(), ratios.end());
  run::Series series{.name = name};
  for (size_t k = 0; k < ratios.size(); ++k) {
    series.x.push_back(ratios[k]);
    series.y.push_back(100.0 * static_cast<double>(k + 1) / static_cast<double>(ratios.size()));
  }
  return series;
}

}  // namespace

std::vector<Case> RandomGraphCases(const Setting& setting) {
  std::vector<Case> cases;
  for (Comm comm : kComms) {
    for (int64_t first = 0; first < Graphs(setting); first += kPerCase) {
      const int64_t count = std::min(kPerCase, Graphs(setting) - first);
      cases.push_back({CaseName(comm, first), [&setting, comm, first, count] {
                         return Block(setting.seed, comm, first, count);
                       }});
    }
  }
  return cases;
}

run::ExperimentResult RandomGraphs(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "Where communication is small, m-ETF and m-SCT are close to the best of all placements, and "
      "m-TOPO is not.";
  for (Comm comm : kComms) {
    const char* links = Name(comm);
    run::Table table{.caption = fmt::format("{} graphs of {} operators on {} devices, {} links: "
                                            "makespan over that of the best of all "
                                            "placements",
                                            Graphs(setting), kOps, kDevices, links),
                     .columns = {"Method", "Mean", "Largest", "Best found (%)"}};
    run::Chart chart{.title = fmt::format("Distribution of the ratio, {} links", links),
                     .x = {.title = "makespan over the best"},
                     .y = {.title = "graphs up to it", .unit = "%"}};
    for (Algorithm algorithm : kAlgorithms) {
      const std::vector<double> ratios = Ratios(setting, results, comm, algorithm);
      const auto best =
          std::count_if(ratios.begin(), ratios.end(), [](double r) { return r <= 1; });
      const run::Estimate mean = run::MeanOf(ratios);
      const double largest = *std::max_element(ratios.begin(), ratios.end());
      table.rows.push_back(
          {Name(algorithm), run::Cell(mean.mean, 4), run::Cell(largest, 4),
           run::Cell(100.0 * static_cast<double>(best) / static_cast<double>(ratios.size()), 3)});
      chart.series.push_back(Distribution(ratios, Name(algorithm)));
      std::optional<run::Expectation> expected;
      if (algorithm == Algorithm::kMEtf || algorithm == Algorithm::kMSct)
        expected = run::Expectation{run::Relation::kAtMost, 1.1, false};
      result.measurements.push_back(
          {fmt::format("{}, {}: mean over the best", Name(algorithm), links), "", mean, expected});
    }
    result.tables.push_back(table);
    result.charts.push_back(chart);
    int64_t better = 0, worse = 0, broken = 0;
    const std::vector<double> etf = Ratios(setting, results, comm, Algorithm::kMEtf);
    const std::vector<double> sct = Ratios(setting, results, comm, Algorithm::kMSct);
    for (size_t k = 0; k < etf.size(); ++k) {
      better += sct[k] < etf[k] ? 1 : 0;
      worse += sct[k] > etf[k] ? 1 : 0;
      const auto index = static_cast<int64_t>(k);
      const double promised =
          results.At(CaseName(comm, index / kPerCase * kPerCase), Key(index, "promised"));
      broken += etf[k] > promised ? 1 : 0;
    }
    result.notes.push_back(
        fmt::format("{} links: m-SCT is better than m-ETF on {} graphs and worse on {}.", links,
                    better, worse));
    if (comm == Comm::kParallel) {
      result.measurements.push_back({"graphs where m-ETF exceeds 2 - 1/n + rho times the best", "",
                                     run::Single(static_cast<double>(broken)),
                                     run::Expectation{run::Relation::kAtMost, 0, true}});
    }
  }
  return result;
}

}  // namespace orchard::place::paper
