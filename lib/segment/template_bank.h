// Labelled examples, kept with a model or in a file of their own: what predictions choose their
// templates from.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "segment/prepared_case.h"

namespace orchard::segment {

struct TemplateBank {
  std::vector<PreparedCase> cases;  // of a bank in a file without values, labels and foreground
  std::vector<double> scores;       // of MedoidScores, for each case
  std::vector<std::vector<uint8_t>> present;  // of each case: whether it has label 0, 1, ...
  std::vector<LabelName> labels;              // 1, 2, ...
  std::filesystem::path file;                 // empty: all is in memory

  int64_t classes() const { return std::ssize(labels); }
  // Also of a bank in memory that was put together by hand.
  bool Has(size_t n, int64_t label) const {
    return present.empty() ? cases[n].Has(label) : present[n][static_cast<size_t>(label)] != 0;
  }
  // The case with its values. Throws DataError where the file is damaged.
  std::shared_ptr<const PreparedCase> Open(size_t n) const;
  // Brings the values of all cases into memory.
  void OpenAll();
  // SHA-256 of its values, size and labels.
  std::string Hash(size_t n) const;
};

// Of `cases` the `limit` best by MedoidScores, in their order (0: all). `scores` are those among
// all cases.
TemplateBank MakeBank(std::vector<PreparedCase> cases, std::vector<LabelName> labels,
                      int64_t limit);
// Labels 1 to `classes` as "label 1", ...
std::vector<LabelName> NumberedLabels(int64_t classes);

// One HDF5 file: a group for each case (docs/formats.md). `plan` is what the cases were prepared
// with.
void WriteBank(const std::filesystem::path& file, const TemplateBank& bank, const Plan& plan);
// Reads what choosing templates needs; values stay in the file. Throws DataError: damaged, prepared
// by another plan, and, unless `any_labels`, labels that the plan does not have.
TemplateBank ReadBank(const std::filesystem::path& file, const Plan& plan, bool any_labels = false);

// Where the encoded templates of a bank lie unless told: BANK.tokens.
std::filesystem::path TokenFolder(const std::filesystem::path& bank);

// SHA-256 of what of a plan shapes a prepared case: channels and their scales, spacing, dimensions.
std::string PreparationHash(const Plan& plan);

}  // namespace orchard::segment
