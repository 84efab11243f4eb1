// The best placement there is, or how close one is proven to be to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "place/place.h"

namespace orchard::place {

struct OptimalOptions {
  PlaceOptions place;              // groups, memory, pins, the training step, and the portfolio
                                   // that is the start
  double time_limit_seconds = 60;  // of search and programme together
};

struct OptimalResult {
  PlaceResult place;        // its bound holds what was proven
  bool proven = false;      // no placement and order are faster
  int64_t placements = 0;   // complete ones that the search looked into
  int64_t binaries = 0;     // of the integer programme; 0: it was not needed or not applicable
  std::string explanation;  // how far the proof goes, in a sentence

  // Of a training step: the step with the best number of micro-batches, and what was found out
  // about each number.
  std::shared_ptr<const Graph> step;
  struct Count {
    int32_t microbatches = 1;
    Time makespan = kNever;  // kNever: no placement was found that fits
    Time bound = 0;          // kNever: none fits
    bool proven = false;
    std::string explanation;
  };
  std::vector<Count> counts;
};

// The portfolio, then branch and bound over placements and orders, then, with parallel links, the
// mixed-integer programme. With Step::kTraining this goes for the step of `graph` with each number
// of micro-batches that the options name, which share the time; the passes of micro-batches may
// run in any order, updates run last. With Offload::kAuto parameters of one pass may be on the
// host, which the search decides as well, and the programme is left out. Throws ImpossibleError
// when nothing fits, UsageError where a training step is asked for with recomputation or with
// parameters on the host, and as CheckOffload.
OptimalResult FindOptimal(const Graph& graph, const Cluster& cluster, const OptimalOptions& options,
                          const SearchContext& context = {});

}  // namespace orchard::place
