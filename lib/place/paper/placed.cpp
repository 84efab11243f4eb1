#include "place/paper/placed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "place/place.h"
#include "place/simulate.h"

namespace orchard::place::paper {

Cluster PublishedCluster(int32_t devices, Comm comm, int64_t memory) {
  return Cluster(devices, memory, Link{}, comm);
}

PlaceOptions OneAlgorithm(Algorithm algorithm, Grouping grouping, bool fuse) {
  PlaceOptions options;
  options.algo = algorithm;
  options.group = grouping;
  options.fuse = fuse;
  return options;
}

run::Numbers PlaceCase(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                       uint64_t seed) {
  PlaceResult result;
  try {
    result = Place(graph, cluster, options, {.seed = seed});
  } catch (const ImpossibleError&) {
    return {{"feasible", 0}};
  }
  const Schedule& schedule = result.best.result.schedule;
  run::Numbers numbers = {{"feasible", 1},
                          {"makespan_us", ToMicroseconds(schedule.makespan)},
                          {"sent", static_cast<double>(result.best.sent_bytes)},
                          {"bound_us", ToMicroseconds(result.bound.value())},
                          {"plan_seconds", result.best.plan_seconds},
                          {"seconds", result.seconds}};
  const auto& peak = result.best.result.memory.peak;
  numbers["peak"] = static_cast<double>(*std::max_element(peak.begin(), peak.end()));
  const Problem problem(graph, cluster, {options.mode, options.optimizer},
                        MustShare(graph, options));
  Simulator simulator(problem.ops, problem.cluster);
  simulator.Run(schedule.device, Dispatch::kOrder, OrderByStart(problem.ops, schedule));
  const MemoryUse again =
      ReplayMemory(problem.sizes, problem.ops, simulator.Result(), cluster.size());
  numbers["over"] = static_cast<double>(Excess(again.peak, cluster));
  if (result.best.published_makespan >= 0)
    numbers["published_us"] = ToMicroseconds(result.best.published_makespan);
  return numbers;
}

run::Cell Milliseconds(double us) {
  if (!std::isfinite(us)) return {"-"};
  return run::Cell::Shown(fmt::format("{:.2f}", us / 1000), us);
}

}  // namespace orchard::place::paper
