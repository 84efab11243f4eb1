// How a search runs, beside what it is asked (PlaceOptions): from which random numbers, on which
// hardware, and whom it tells.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace orchard::place {

class RefineFile;  // refine_file.h

// What a user is told while placing: the news, and how much is done: of annealing, the steps of all
// chains, or with a time limit whole seconds; of a sweep, placements.
using PlaceProgress = std::function<void(std::string_view note, int64_t done)>;

struct SearchContext {
  int threads = 1;    // results do not depend on it, but for annealing against the clock
  uint64_t seed = 0;  // of random placements and annealing
  PlaceProgress progress;
  std::optional<int> cuda;           // index of a CUDA device that anneals where it can
  const RefineFile* file = nullptr;  // where annealing goes on from, and leaves its state; whole
                                     // searches remove it when they are not interrupted
};

}  // namespace orchard::place
