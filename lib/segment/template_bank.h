// Labelled examples kept with a model: what predictions choose their templates from.
#pragma once

#include <filesystem>
#include <vector>

#include "segment/prepared_case.h"

namespace orchard::segment {

struct TemplateBank {
  std::vector<PreparedCase> cases;
  std::vector<double> scores;  // of MedoidScores, for each case
};

// Of `cases` the `limit` best by MedoidScores, in their order (0: all). `scores` are those among
// all cases.
TemplateBank MakeBank(std::vector<PreparedCase> cases, int64_t classes, int64_t limit);

// One HDF5 file: a group for each case (docs/formats.md).
void WriteBank(const std::filesystem::path& file, const TemplateBank& bank);
// Throws DataError: damaged, other channels or labels than the plan's.
TemplateBank ReadBank(const std::filesystem::path& file, const Plan& plan);

}  // namespace orchard::segment
