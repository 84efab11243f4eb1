#include "expand/task_scores.h"

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "data/metrics.h"

namespace orchard::expand {
namespace {

std::string_view NameOf(Selection selection) {
  for (const auto& [name, value] : kSelectionNames) {
    if (value == selection) return name;
  }
  return "";
}

}  // namespace

std::vector<std::pair<std::string_view, double>> TaskScores(const Evaluation& e) {
  if (e.predicted.empty()) {
    if (const auto accuracy = e.accuracy()) return {{"top1", *accuracy}};
    return {};
  }
  if (e.regression) {
    return {{"pearson", data::Pearson(e.predicted, e.truth)},
            {"spearman", data::Spearman(e.predicted, e.truth)}};
  }
  const std::vector<int32_t> predicted(e.predicted.begin(), e.predicted.end());
  const std::vector<int32_t> truth(e.truth.begin(), e.truth.end());
  std::vector<std::pair<std::string_view, double>> scores = {
      {"accuracy", data::Accuracy(predicted, truth)},
      {"matthews", data::Matthews(predicted, truth)}};
  if (e.classes == 2) scores.emplace_back("f1", data::F1(predicted, truth));
  return scores;
}

double Selected(const Evaluation& e, Selection selection) {
  if (selection == Selection::kAuto) {
    selection = !e.per_sample  ? Selection::kLoss
                : e.regression ? Selection::kSpearman
                               : Selection::kAccuracy;
  }
  if (selection == Selection::kLoss) return -e.loss();
  if (selection == Selection::kAccuracy && e.accuracy()) return *e.accuracy();
  for (const auto& [name, value] : TaskScores(e)) {
    if (name != NameOf(selection)) continue;
    return std::isnan(value) ? -std::numeric_limits<double>::infinity() : value;
  }
  throw UsageError("this data has no score '" + std::string(NameOf(selection)) + "'", "run.select");
}

}  // namespace orchard::expand
