// One placement as numbers: what the cases of several experiments give.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "place/cluster.h"
#include "place/options.h"
#include "place/paper/experiment.h"

namespace orchard::place::paper {

// `devices` equal ones with the published links.
Cluster PublishedCluster(int32_t devices, Comm comm, int64_t memory = INT64_MAX);

// Options of one algorithm in one setting.
PlaceOptions OneAlgorithm(Algorithm algorithm, Grouping grouping, bool fuse);

// feasible: 1 or 0. Where feasible: makespan_us, peak (largest), over (bytes above the limits, by
// replaying what the placement says once more), sent, bound_us, plan_seconds, seconds; published_us
// with compat.
run::Numbers PlaceCase(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                       uint64_t seed);

// Shown in tables: "92.8", or "-" where there is none.
run::Cell Milliseconds(double us);

}  // namespace orchard::place::paper
