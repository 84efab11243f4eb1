// Scores of a classifier or a regression on a test set, as GLUE uses them.
#pragma once

#include <cstdint>
#include <span>

namespace orchard::data {

// All take equally long, non-empty lists of predictions and truths, and throw UsageError otherwise.

double Accuracy(std::span<const int32_t> predicted, std::span<const int32_t> truth);  // [0, 1]

// Harmonic mean of precision and recall of the class `positive`; 0 where it was neither predicted
// nor there. [0, 1]
double F1(std::span<const int32_t> predicted, std::span<const int32_t> truth, int32_t positive = 1);

// Matthews' correlation for any number of classes (Gorodkin, 2004); 0 where either side is
// constant. [-1, 1]
double Matthews(std::span<const int32_t> predicted, std::span<const int32_t> truth);

// Linear correlation, and that of the ranks with ties at their mean rank; NaN where either side is
// constant. [-1, 1]
double Pearson(std::span<const double> predicted, std::span<const double> truth);
double Spearman(std::span<const double> predicted, std::span<const double> truth);

}  // namespace orchard::data
