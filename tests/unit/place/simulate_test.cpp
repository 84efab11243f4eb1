// The event simulator against one that is written for reading.
#include "place/simulate.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "place/plan.h"
#include "unit/place/naive_simulator.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

Cluster RandomCluster() {
  Cluster cluster(*rc::gen::inRange(1, 5), INT64_MAX,
                  {.us_per_byte = *rc::gen::inRange(0, 10) / 20.0,
                   .latency_us = static_cast<double>(*rc::gen::inRange(0, 5))},
                  static_cast<Comm>(*rc::gen::inRange(0, 3)));
  if (*rc::gen::inRange(0, 2)) return cluster;
  for (Device& device : cluster.devices) device.speed = *rc::gen::inRange(1, 4) / 2.0;
  for (int k = 0; k < cluster.size() * cluster.size(); ++k)
    cluster.links.push_back({*rc::gen::inRange(0, 10) / 20.0, *rc::gen::inRange(0, 5) * 1.0});
  return cluster;
}

// One simulator, one run after the other: nothing of a run may stay for the next.
RC_GTEST_PROP(Simulator, IsTheOneWrittenForReading, ()) {
  const Graph graph = RandomGraph({.max_ops = 20, .groups = false});
  const Cluster cluster = RandomCluster();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  Simulator simulator(tasks, cluster);
  for (int round = 0; round < 3; ++round) {
    std::vector<int32_t> device(tasks.size()), order(tasks.size());
    for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
    std::vector<int64_t> priority(tasks.size());
    for (int64_t& p : priority) p = *rc::gen::inRange(-3, 3);
    std::iota(order.begin(), order.end(), 0);
    for (size_t k = order.size(); k > 1; --k)
      std::swap(order[k - 1], order[*rc::gen::inRange<size_t>(0, k)]);
    for (Dispatch dispatch : {Dispatch::kFifo, Dispatch::kPriority, Dispatch::kOrder}) {
      const NaiveRun naive = NaiveSimulate(tasks, cluster, device, dispatch, order, priority);
      RC_ASSERT(simulator.Run(device, dispatch, order, priority) == naive.makespan);
      if (naive.makespan == kNever) continue;  // the order waits for itself
      RC_ASSERT(std::vector(simulator.start().begin(), simulator.start().end()) == naive.start);
      RC_ASSERT(std::vector(simulator.end().begin(), simulator.end().end()) == naive.end);
      // And its own order repeats it, also where tasks without duration waited.
      std::vector<int32_t> as_run;
      for (const auto& of_device : simulator.Result().order)
        as_run.insert(as_run.end(), of_device.begin(), of_device.end());
      RC_ASSERT(simulator.Run(device, Dispatch::kOrder, as_run) == naive.makespan);
      RC_ASSERT(std::vector(simulator.start().begin(), simulator.start().end()) == naive.start);
    }
  }
}

// Giving up is right, and late enough: never with a limit that holds.
RC_GTEST_PROP(Simulator, GivesUpOnlyBeyondTheLimit, ()) {
  const Graph graph = RandomGraph({.max_ops = 20, .groups = false});
  const Cluster cluster = RandomCluster();
  const TaskGraph tasks = MakeTasks(graph, GroupOperators(graph, Grouping::kNone));
  Simulator simulator(tasks, cluster);
  std::vector<int32_t> device(tasks.size());
  for (int32_t& d : device) d = *rc::gen::inRange(0, cluster.size());
  const Time makespan = simulator.Run(device, Dispatch::kFifo);
  const Time slack = *rc::gen::inRange<Time>(-5, 6) * 1000;
  const Time limited = simulator.Run(device, Dispatch::kFifo, {}, {}, makespan + slack);
  RC_ASSERT(limited == makespan || (slack < 0 && limited == kNever));
}

}  // namespace
}  // namespace orchard::place
