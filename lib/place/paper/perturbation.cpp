#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "place/paper/placed.h"
#include "place/place.h"

namespace orchard::place::paper {
namespace {

constexpr double kSpreads[] = {0.1, 0.2};
constexpr Algorithm kAlgorithms[] = {Algorithm::kMTopo, Algorithm::kMEtf, Algorithm::kMSct,
                                     Algorithm::kHeft};

int64_t Runs(const Setting& setting) { return setting.full ? 30 : 5; }

std::string CaseName(const std::string& graph, double spread, int64_t run) {
  return fmt::format("E5/{}/{:g}/{}", graph, spread, run);
}

// Every time and every cost times a factor drawn evenly from 1 - spread to 1 + spread.
Graph Perturbed(const Graph& graph, const Cluster& cluster, double spread, uint64_t seed) {
  Graph copy = graph;
  const Philox2 key = PhiloxKey(seed, Hash64("baechi-place wrong costs"));
  const auto factor = [&](uint64_t index, uint64_t stream) {
    return 1 + spread * (2.0 * UniformFloat(PhiloxAt(key, index, stream).word[0]) - 1);
  };
  for (size_t i = 0; i < copy.ops.size(); ++i) copy.ops[i].us *= factor(i, 0);
  for (size_t t = 0; t < copy.tensors.size(); ++t) {
    Tensor& tensor = copy.tensors[t];
    tensor.us = ToMicroseconds(cluster.Cost(tensor.bytes, tensor.us, 0, 1)) * factor(t, 1);
  }
  return copy;
}

// By how much the makespan grows when the placement was made with wrong costs.
run::Numbers Compare(const NamedGraph& model, double spread, uint64_t seed) {
  run::Numbers numbers;
  const Cluster cluster = PublishedCluster(4, Comm::kParallel);
  const Graph wrong = Perturbed(model.graph, cluster, spread, seed);
  for (Algorithm algorithm : kAlgorithms) {
    const PlaceOptions options = OneAlgorithm(algorithm, Grouping::kCoplace, true);
    PlaceResult right, misled;
    try {
      right = Place(model.graph, cluster, options);
      misled = Place(wrong, cluster, options);
    } catch (const ImpossibleError&) {
      continue;  // equal shares of m-TOPO can leave groups over even where memory is no limit
    }
    const Problem problem(model.graph, cluster, {}, MustShare(model.graph, options));
    const Schedule& plan = misled.best.result.schedule;
    // As the devices would run it: in the order of the plan, or as inputs arrive.
    const Evaluated real = Evaluate(problem, plan.device, OrderByStart(problem.ops, plan));
    numbers[Name(algorithm)] = static_cast<double>(real.schedule.makespan) /
                               static_cast<double>(right.best.result.schedule.makespan);
  }
  return numbers;
}

}  // namespace

std::vector<Case> PerturbationCases(const Setting& setting) {
  std::vector<Case> cases;
  for (const NamedGraph* model : setting.Models()) {
    for (double spread : kSpreads) {
      for (int64_t run = 0; run < Runs(setting); ++run) {
        cases.push_back({CaseName(model->name, spread, run), [model, spread, run, &setting] {
                           return Compare(*model, spread,
                                          setting.seed + static_cast<uint64_t>(run));
                         }});
      }
    }
  }
  return cases;
}

run::ExperimentResult Perturbation(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "Placements made with times and costs that are off by up to 10 or 20 % are within 10 % of "
      "those made "
      "with the right ones.";
  run::Table table{
      .caption = "Makespan over that of the placement with the right costs",
      .columns = {"Model", "Costs off by up to", "Method", "Mean", "Least", "Largest"}};
  run::Chart chart{.kind = run::Chart::Kind::kBar,
                   .title = "Loss by wrong costs",
                   .y = {.title = "mean change of the makespan", .unit = "%"}};
  for (Algorithm algorithm : kAlgorithms) chart.series.push_back({.name = Name(algorithm)});
  for (const NamedGraph* model : setting.Models()) {
    for (double spread : kSpreads) {
      chart.categories.push_back(fmt::format("{}, {:g} %", model->name, 100 * spread));
      for (size_t a = 0; a < std::size(kAlgorithms); ++a) {
        std::vector<double> changes;
        for (int64_t run = 0; run < Runs(setting); ++run) {
          const double change =
              results.At(CaseName(model->name, spread, run), Name(kAlgorithms[a]));
          if (std::isfinite(change)) changes.push_back(change);
        }
        if (changes.empty()) {
          chart.series[a].y.push_back(0);
          result.notes.push_back(
              fmt::format("{} places {} with no costs: its equal shares leave groups over.",
                          Name(kAlgorithms[a]), model->name));
          continue;
        }
        const run::Estimate mean = run::MeanOf(changes);
        const auto [least, largest] = std::minmax_element(changes.begin(), changes.end());
        table.rows.push_back({model->name, fmt::format("{:g} %", 100 * spread),
                              Name(kAlgorithms[a]), run::Cell(mean.mean, 4), run::Cell(*least, 4),
                              run::Cell(*largest, 4)});
        chart.series[a].y.push_back(100 * (mean.mean - 1));
        result.measurements.push_back({fmt::format("{}, {:g} %, {}: makespan over the right one",
                                                   model->name, 100 * spread, Name(kAlgorithms[a])),
                                       "", run::Single(mean.mean),
                                       run::Expectation{run::Relation::kAtMost, 1.1, false}});
      }
    }
  }
  result.tables = {table};
  result.charts = {chart};
  result.notes.emplace_back("Below 1: the wrong costs happened to lead to a better placement.");
  return result;
}

}  // namespace orchard::place::paper
