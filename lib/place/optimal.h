// The best placement there is, or how close one is proven to be to it.
#pragma once

#include <cstdint>
#include <string>

#include "place/place.h"

namespace orchard::place {

struct OptimalOptions {
  PlaceOptions place;              // groups, memory, pins, and the portfolio that is the start
  double time_limit_seconds = 60;  // of search and programme together
};

struct OptimalResult {
  PlaceResult place;        // its bound holds what was proven
  bool proven = false;      // no placement and order are faster
  int64_t placements = 0;   // complete ones that the search looked into
  int64_t binaries = 0;     // of the integer programme; 0: it was not needed or not applicable
  std::string explanation;  // how far the proof goes, in a sentence
};

// The portfolio, then branch and bound over placements and orders, then, with parallel links, the
// mixed-integer programme. Throws ImpossibleError when nothing fits.
OptimalResult FindOptimal(const Graph& graph, const Cluster& cluster, const OptimalOptions& options,
                          const SearchContext& context = {});

}  // namespace orchard::place
