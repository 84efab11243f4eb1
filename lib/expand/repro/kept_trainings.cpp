#include "expand/repro/kept_trainings.h"

namespace orchard::expand::repro {

KeptTrainings::KeptTrainings(const std::string& experiment, const ReproOptions& options,
                             const Surroundings& surroundings) {
  if (!options.trainings.empty()) {
    path_ = options.trainings / experiment;
  } else if (!surroundings.directory.empty()) {
    path_ = surroundings.directory / "trainings" / experiment;
    if (!surroundings.resume) std::filesystem::remove_all(path_);
  } else {
    scratch_.emplace(options.scratch);
    path_ = *scratch_ / experiment;
  }
}

}  // namespace orchard::expand::repro
