// placement.json: where every operator goes, in which order, and what that is worth.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "place/host_plan.h"
#include "place/place.h"
#include "place/training_step.h"

namespace orchard::place {

// What a placement file says that simulation needs.
struct Placement {
  std::string graph_hash;
  std::vector<int32_t> device;  // of every operator
  std::vector<int32_t> order;   // all operators; each device's stand as they are to run
  // Where parameters live on the host, and of how many operators: without the plan where the file
  // is of a step and the graph its forward one.
  std::shared_ptr<const HostPlan> host;
  int32_t offloaded = 0;
};

// `seconds` of planning are in the text, so it is not the same in every run; all else is.
std::string PlacementToJson(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                            const PlaceResult& result, uint64_t seed);

// The training step that a placement file is for, if it is for one, with `forward` as its forward
// graph. Throws DataError.
std::optional<StepOptions> ReadStepOptions(const std::filesystem::path& path, const Graph& forward);

// Reads what PlacementToJson wrote, or any file with "assign": {operator: device name or number};
// without "order" operators run as their inputs arrive (`order` is empty). Throws DataError naming
// the JSON path: another graph's placement, operators or devices that are unknown, missing or twice
// in an order, an order that waits for itself. Without `check_hash` the graph's costs may have
// changed since. Where `graph` is that of a training step, the file
// assigns its forward operators; where it is not and the file has the order of a step, that of the
// first micro-batch's forward operators is read.
Placement ReadPlacement(const std::filesystem::path& path, const Graph& graph,
                        const Cluster& cluster, bool check_hash = true);

// Simulates a placement in the order of its file, or as inputs arrive where it has none, and
// replays its memory. Throws DataError when the order waits for itself; `file` names it.
Evaluated ReplayPlacement(const Problem& problem, const Placement& placement,
                          const std::filesystem::path& file);

}  // namespace orchard::place
