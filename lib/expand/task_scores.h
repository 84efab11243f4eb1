// Scores of a validation by name, and which of them decides what the best one is.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "expand/evaluate.h"
#include "expand/train_options.h"

namespace orchard::expand {

// Name and value. Labelled texts: accuracy, Matthews' correlation and, of two classes, F1 of the
// second; or Pearson's and Spearman's correlation of a regression (GLUE). Images: accuracy as
// "top1". Others: nothing. The names live for ever.
std::vector<std::pair<std::string_view, double>> TaskScores(const Evaluation& evaluation);

// The larger the better: minus the loss, or the score chosen; kAuto: accuracy of classes,
// Spearman's correlation of a regression, the loss of tokens. A score that is not a number counts
// as the worst one. Throws UsageError where the validation has no such score.
double Selected(const Evaluation& evaluation, Selection selection);

}  // namespace orchard::expand
