// Batches of candidate plans against the event simulator, and their memory estimate against its
// definition.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "place/batch_simulator.h"
#include "place/topology.h"
#include "unit/place/random_graph.h"

namespace orchard::place {
namespace {

Cluster RandomCluster() {
  Cluster cluster(*rc::gen::inRange(1, 12), INT64_MAX,
                  {.us_per_byte = *rc::gen::inRange(0, 10) / 20.0,
                   .latency_us = static_cast<double>(*rc::gen::inRange(0, 5))},
                  *rc::gen::element(Comm::kParallel, Comm::kDuplex, Comm::kHalf));
  if (*rc::gen::inRange(0, 2)) return cluster;
  for (Device& device : cluster.devices) device.speed = *rc::gen::inRange(1, 4) / 2.0;
  for (int k = 0; k < cluster.size() * cluster.size(); ++k)
    cluster.links.push_back({*rc::gen::inRange(0, 10) / 20.0, *rc::gen::inRange(0, 5) * 1.0});
  return cluster;
}

// A topological order that takes any ready operator.
std::vector<int32_t> RandomOrder(const TaskGraph& tasks) {
  std::vector<int32_t> waiting(tasks.size()), ready, order;
  for (int32_t i = 0; i < tasks.size(); ++i) {
    waiting[i] = static_cast<int32_t>(tasks.InEdges(i).size());
    if (waiting[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    std::swap(ready[*rc::gen::inRange<size_t>(0, ready.size())], ready.back());
    const int32_t i = ready.back();
    ready.pop_back();
    order.push_back(i);
    for (int32_t e = tasks.out_begin[i]; e < tasks.out_begin[i + 1]; ++e) {
      if (--waiting[tasks.edges[e].dst] == 0) ready.push_back(tasks.edges[e].dst);
    }
  }
  return order;
}

// Orders and devices of all candidates, drawn.
void Draw(const Problem& problem, BatchSimulator& batch) {
  for (int64_t block = 0; block < batch.blocks(); ++block) {
    const std::vector<int32_t> order = RandomOrder(problem.ops);
    std::copy(order.begin(), order.end(), batch.Order(block).begin());
    for (uint8_t& d : batch.Devices(block))
      d = static_cast<uint8_t>(*rc::gen::inRange(0, problem.cluster.size()));
  }
  batch.OrderChanged();
}

std::vector<int32_t> DevicesOf(const Problem& problem, BatchSimulator& batch, int64_t block,
                               int lane) {
  std::vector<int32_t> device(problem.ops.size());
  for (int32_t i = 0; i < problem.ops.size(); ++i)
    device[i] = batch.Devices(block)[static_cast<size_t>(i) * kBatchLanes + lane];
  return device;
}

void ExpectSimulated(const Problem& problem, BatchSimulator& batch) {
  Simulator simulator(problem.ops, problem.cluster);
  for (int64_t block = 0; block < batch.blocks(); ++block) {
    const auto order = batch.Order(block);
    for (int lane = 0; lane < kBatchLanes; ++lane) {
      const Time makespan = simulator.Run(DevicesOf(problem, batch, block, lane), Dispatch::kOrder,
                                          std::vector<int32_t>(order.begin(), order.end()));
      RC_ASSERT(batch.makespan()[block * kBatchLanes + lane] == makespan);
    }
  }
}

RC_GTEST_PROP(BatchSimulate, IsTheEventSimulatorInPlanOrder, ()) {
  const Graph graph = RandomGraph({.max_ops = 30, .groups = false});
  const Problem problem(graph, RandomCluster(), {.rounding = 1},
                        GroupOperators(graph, Grouping::kNone));
  RC_PRE(BatchGraph::Supports(problem.cluster));
  BatchSimulator batch(problem, 2, 1);
  Draw(problem, batch);
  batch.Run(2);
  ExpectSimulated(problem, batch);
}

// Times beyond 32 bits of nanoseconds.
RC_GTEST_PROP(BatchSimulate, HoldsLongTimes, ()) {
  const Graph graph = RandomGraph({.min_us = 1000000, .max_us = 9000000, .groups = false});
  const Problem problem(graph, RandomCluster(), {.rounding = 1},
                        GroupOperators(graph, Grouping::kNone));
  BatchSimulator batch(problem, 1, 1);
  Draw(problem, batch);
  batch.Run(1);
  ExpectSimulated(problem, batch);
}

// What every device holds while the operator at each position runs, from the definition: the order
// is the time.
std::vector<int64_t> PeakByPosition(const Problem& problem, std::span<const int32_t> order,
                                    const std::vector<int32_t>& device) {
  const TaskGraph& tasks = problem.ops;
  const MemorySizes& sizes = problem.sizes;
  const int32_t n = tasks.size(), devices = problem.cluster.size();
  std::vector<int32_t> position(n);
  for (int32_t p = 0; p < n; ++p) position[order[p]] = p;
  // held[d][p]
  std::vector<std::vector<int64_t>> held(devices, std::vector<int64_t>(n, 0));
  const auto hold = [&](int32_t d, int32_t first, int32_t last, int64_t bytes) {
    for (int32_t p = first; p <= last; ++p) held[d][p] += bytes;
  };
  for (int32_t i = 0; i < n; ++i) {
    hold(device[i], 0, n - 1, sizes.perm[i]);
    hold(device[i], position[i], position[i], sizes.temp[i]);
  }
  std::vector<std::vector<int32_t>> last(sizes.buffers.size());
  for (size_t b = 0; b < sizes.buffers.size(); ++b) {
    const MemorySizes::Buffer& buffer = sizes.buffers[b];
    int32_t until = position[buffer.op];
    std::vector<int32_t> copies(devices, -1);
    int64_t copy = 0;
    for (int32_t e = tasks.out_begin[buffer.op]; e < tasks.out_begin[buffer.op + 1]; ++e) {
      for (int32_t t : tasks.TensorsOf(e)) {
        if (sizes.buffer_of_tensor[t] != static_cast<int32_t>(b)) continue;
        const int32_t j = tasks.edges[e].dst;
        copy = sizes.copy_bytes[t];
        if (device[j] == device[buffer.op]) {
          until = std::max(until, position[j]);
        } else {
          copies[device[j]] = std::max(copies[device[j]], position[j]);
        }
      }
    }
    hold(device[buffer.op], position[buffer.op], buffer.saved ? n - 1 : until, buffer.bytes);
    for (int32_t d = 0; d < devices; ++d) {
      if (copies[d] >= 0) hold(d, position[buffer.op] + 1, buffer.saved ? n - 1 : copies[d], copy);
    }
  }
  // Memory counts where an operator runs, and at the end.
  std::vector<int64_t> peak(devices, 0);
  for (int32_t d = 0; d < devices; ++d) {
    for (int32_t p = 0; p < n; ++p) {
      if (device[order[p]] == d) peak[d] = std::max(peak[d], held[d][p]);
    }
    peak[d] = std::max(peak[d], held[d][n - 1]);
  }
  return peak;
}

RC_GTEST_PROP(BatchSimulate, EstimatesMemoryByPositionInTheOrder, ()) {
  const Graph graph = RandomGraph({.max_ops = 20, .groups = false});
  Cluster cluster = RandomCluster();
  for (Device& device : cluster.devices) device.memory = *rc::gen::inRange(0, 300);
  const Problem problem(graph, cluster,
                        {.mode = *rc::gen::element(Mode::kInfer, Mode::kTrain), .rounding = 1},
                        GroupOperators(graph, Grouping::kNone));
  RC_PRE(problem.memory_can_bind);
  BatchSimulator batch(problem, 1, 1);
  Draw(problem, batch);
  batch.Run(1);
  for (int lane = 0; lane < kBatchLanes; ++lane) {
    const std::vector<int64_t> peak =
        PeakByPosition(problem, batch.Order(0), DevicesOf(problem, batch, 0, lane));
    RC_ASSERT(batch.excess()[lane] == Excess(peak, cluster));
  }
}

}  // namespace
}  // namespace orchard::place
