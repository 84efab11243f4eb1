// How little memory is enough, and what a limit costs in time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "place/place.h"

namespace orchard::place {

// Of every group, bytes that no order on any device can do without: parameters, and the larger of
// all kept outputs with what the last operator needs while it runs, and of what any one needs.
std::vector<int64_t> GroupNeeds(const Problem& problem);

// Bytes that some device needs whatever the placement, with equal limits: the largest group with
// the largest of its operators that runs, or an equal share of what is held all the time.
int64_t LeastLimit(const Problem& problem);

// A smallest equal limit at which the fast methods of the portfolio (no linear programme, no
// refinement) find a placement, by bisection between LeastLimit and `works`, to 2 %; with
// parameters on the host where `options` allow them. `works` is one at which they do. Placing with
// `auto` and that limit succeeds.
int64_t SmallestQuickLimit(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context, int64_t works);

// The smallest limit at which `fits` holds, to `precision`, between one that cannot be undercut and
// one that works.
int64_t BisectLimit(int64_t least, int64_t works, double precision,
                    const std::function<bool(int64_t)>& fits);

// The same devices, all with this much memory.
Cluster WithLimit(const Cluster& cluster, int64_t limit);

// As LeastLimit, for the training step of `forward`, with any of the numbers of micro-batches that
// `options` names.
int64_t LeastTrainingLimit(const Graph& forward, const Cluster& cluster,
                           const PlaceOptions& options);

// As SmallestQuickLimit, for the training step: fast methods and splits into stages, with each
// number of micro-batches, without recomputation. Placing with `auto` and that limit succeeds.
int64_t SmallestTrainingLimit(const Graph& forward, const Cluster& cluster,
                              const PlaceOptions& options, const SearchContext& context,
                              int64_t works);

// What is possible at one limit.
struct LimitPoint {
  int64_t limit = 0;  // of every device
  Time makespan = 0;  // of the best placement that was found to fit
  int64_t peak = 0;   // of its fullest device
  std::string method;
  int32_t microbatches = 1;  // of a training step
  std::string pipeline;      // of several: "gpipe", "1f1b" or "refined"
  int64_t on_host = 0;       // bytes of parameters, and of their optimiser's states, on the host
};

struct LimitSweep {
  int64_t least = 0;               // no placement fits a smaller equal limit
  int64_t smallest = 0;            // a placement was found that fits this one
  std::vector<LimitPoint> points;  // by increasing limit, from `smallest` on; makespans never rise
};

// Bisects equal limits with all of `auto` to the smallest (to 1 %), then places at `count` limits
// between it and the one that no longer binds. With parameters on the host where `options` allow
// them; with Step::kTraining, training steps of `graph` with the micro-batches, schedules and
// recomputation of `options`. Throws ImpossibleError when not even
// unlimited devices do.
LimitSweep SweepLimits(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                       int count, const SearchContext& context = {});

}  // namespace orchard::place
