// The annealing between two rounds as a file, so that an interrupted one goes on to the result that
// it would have had. A search of several annealings keeps the states of those that are over until
// all are.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "place/refine.h"

namespace orchard::place {

class RefineFile {
 public:
  // Keeps nothing.
  RefineFile() = default;
  // `key`: all that the annealing depends on.
  RefineFile(std::filesystem::path path, std::string key)
      : path_(std::move(path)), key_(std::move(key)) {}

  // What was saved, nothing without a file. Throws DataError where it is damaged or does not belong
  // to `problem`, UsageError where it was made with another key.
  std::optional<RefineState> Load(const Problem& problem) const;
  void Save(const RefineState& state) const;
  // That of the n-th annealing of the same search behind this one, n = 1, 2, ...: of a step with so
  // many micro-batches.
  RefineFile Later(int n, int microbatches) const;
  // The search is over: this one and the later ones.
  void Remove() const;

 private:
  std::filesystem::path path_;
  std::string key_;
};

}  // namespace orchard::place
