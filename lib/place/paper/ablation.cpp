#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "place/paper/placed.h"

namespace orchard::place::paper {
namespace {

struct Variant {
  const char* label;
  Grouping grouping;
  bool fuse;
};
constexpr Variant kVariants[] = {{"tf", Grouping::kTf, false},
                                 {"tf, fused", Grouping::kTf, true},
                                 {"coplace", Grouping::kCoplace, false},
                                 {"coplace, fused", Grouping::kCoplace, true},
                                 {"coplace-capped, fused", Grouping::kCoplaceCapped, true}};
constexpr const char* kProposed = "coplace, fused";  // by the paper
constexpr Algorithm kAlgorithms[] = {Algorithm::kMEtf, Algorithm::kMSct};
constexpr Comm kComms[] = {Comm::kParallel, Comm::kHalf};

std::string CaseName(const std::string& graph, Algorithm algorithm, Comm comm,
                     const Variant& variant) {
  return fmt::format("E2/{}/{}/{}/{}", graph, Name(algorithm), Name(comm), variant.label);
}

// Of the four that the paper compares.
double BestOther(const Results& results, const std::string& graph, Algorithm algorithm, Comm comm) {
  double best = 1e300;
  for (const Variant& variant : kVariants) {
    if (std::string_view(variant.label) == kProposed ||
        variant.grouping == Grouping::kCoplaceCapped)
      continue;
    best = std::min(best, results.At(CaseName(graph, algorithm, comm, variant), "makespan_us"));
  }
  return best;
}

}  // namespace

std::vector<Case> AblationCases(const Setting& setting) {
  std::vector<Case> cases;
  for (const NamedGraph* model : setting.Models()) {
    for (Algorithm algorithm : kAlgorithms) {
      for (Comm comm : kComms) {
        for (const Variant& variant : kVariants) {
          cases.push_back({CaseName(model->name, algorithm, comm, variant),
                           [model, algorithm, comm, variant, &setting] {
                             return PlaceCase(
                                 model->graph, PublishedCluster(4, comm),
                                 OneAlgorithm(algorithm, variant.grouping, variant.fuse),
                                 setting.seed);
                           }});
        }
      }
    }
  }
  return cases;
}

run::ExperimentResult Ablation(const Setting& setting, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "Of the four ways to prepare a graph, co-placement with fusion gives the best placement.";
  for (const NamedGraph* model : setting.Models()) {
    run::Table table{.caption = model->name + ", 4 devices, event simulator: makespan in ms",
                     .columns = {"Algorithm, links"}};
    run::Chart chart{.kind = run::Chart::Kind::kBar,
                     .title = model->name,
                     .y = {.title = "makespan", .unit = "ms"}};
    for (const Variant& variant : kVariants) table.columns.emplace_back(variant.label);
    for (const Variant& variant : kVariants) chart.series.push_back({.name = variant.label});
    for (Algorithm algorithm : kAlgorithms) {
      for (Comm comm : kComms) {
        const std::string label = fmt::format("{}, {}", Name(algorithm), Name(comm));
        std::vector<run::Cell> row = {label};
        chart.categories.push_back(label);
        for (size_t v = 0; v < std::size(kVariants); ++v) {
          const double us =
              results.At(CaseName(model->name, algorithm, comm, kVariants[v]), "makespan_us");
          row.push_back(Milliseconds(us));
          chart.series[v].y.push_back(us / 1000);
        }
        table.rows.push_back(row);
        const double proposed =
            results.At(CaseName(model->name, algorithm, comm, kVariants[3]), "makespan_us");
        result.measurements.push_back(
            {fmt::format("{}, {}: coplace and fusion / best of the other three", model->name,
                         label),
             "", run::Single(proposed / BestOther(results, model->name, algorithm, comm)),
             run::Expectation{run::Relation::kAtMost, 1, false}});
      }
    }
    result.tables.push_back(table);
    result.charts.push_back(chart);
  }
  result.notes.emplace_back(
      "Where a model is nearly one chain, co-placement leaves one group and with it one device: "
      "that is "
      "why groups are capped outside the published conventions.");
  return result;
}

}  // namespace orchard::place::paper
