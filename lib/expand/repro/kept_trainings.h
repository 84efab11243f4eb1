// Where the trainings of an experiment lie: kept for --resume where the user named a place, else
// removed at the end.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/scratch_directory.h"
#include "expand/repro/experiments.h"

namespace orchard::expand::repro {

class KeptTrainings {
 public:
  // A folder for `experiment` in --trainings, else in the run directory (emptied there unless it
  // is resumed), else in a scratch directory.
  KeptTrainings(const std::string& experiment, const ReproOptions& options,
                const Surroundings& surroundings);

  const std::filesystem::path& path() const { return path_; }

 private:
  std::optional<ScratchDirectory> scratch_;
  std::filesystem::path path_;
};

}  // namespace orchard::expand::repro
