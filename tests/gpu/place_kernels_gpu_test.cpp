// Batches of candidate plans on the GPU against their CPU twin: the same integers.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "gpu/device_array.h"
#include "place/batch_simulator.h"
#include "place/generate.h"
#include "place/topology.h"

namespace orchard::place {
namespace {

using PlaceKernels = gpu::DeviceTest;

// Orders that differ from block to block, and devices that differ from candidate to candidate.
void Draw(const Problem& problem, BatchSimulator& batch) {
  std::mt19937 random(7);
  for (int64_t block = 0; block < batch.blocks(); ++block) {
    // A topological order by random levels: positions of Kahn's order, operators of one level
    // mixed.
    std::vector<int32_t> level(problem.ops.size(), 0);
    std::vector<uint32_t> tie(problem.ops.size());
    for (uint32_t& word : tie) word = random();
    std::vector<int32_t> topo(problem.ops.size()), order(problem.ops.size());
    for (int32_t i = 0; i < problem.ops.size(); ++i) topo[problem.ops.topo[i]] = i;
    for (int32_t i : topo) {
      for (int32_t e = problem.ops.out_begin[i]; e < problem.ops.out_begin[i + 1]; ++e) {
        int32_t& next = level[problem.ops.edges[e].dst];
        next = std::max(next, level[i] + 1);
      }
    }
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return std::pair(level[a], tie[a]) < std::pair(level[b], tie[b]);
    });
    std::copy(order.begin(), order.end(), batch.Order(block).begin());
    for (uint8_t& d : batch.Devices(block))
      d = static_cast<uint8_t>(random() % static_cast<uint32_t>(problem.cluster.size()));
  }
  batch.OrderChanged();
}

void ExpectTheSame(const GenerateOptions& graph_options, const Cluster& cluster, Mode mode) {
  const Graph graph = Generate(graph_options, 3);
  const Problem problem(graph, cluster, {.mode = mode}, GroupOperators(graph, Grouping::kNone));
  constexpr int64_t kBlocks = 5;
  BatchSimulator cpu(problem, kBlocks, 2), gpu(problem, kBlocks, 1, 0);
  Draw(problem, cpu);
  Draw(problem, gpu);
  for (const int64_t blocks : {kBlocks, int64_t{2}}) {
    cpu.Run(blocks);
    gpu.Run(blocks);
    const int64_t lanes = blocks * kBatchLanes;
    EXPECT_TRUE(
        std::equal(cpu.makespan().begin(), cpu.makespan().begin() + lanes, gpu.makespan().begin()));
    EXPECT_TRUE(
        std::equal(cpu.excess().begin(), cpu.excess().begin() + lanes, gpu.excess().begin()));
  }
  // The comparison means something only where candidates differ.
  EXPECT_NE(cpu.makespan()[0], cpu.makespan()[1]);
  if (problem.memory_can_bind) {
    EXPECT_NE(cpu.excess()[0], cpu.excess()[1]);
  }
}

Cluster Unlike(int32_t devices, int64_t memory, Comm comm = Comm::kParallel) {
  Cluster cluster(devices, memory, {}, comm);
  for (int32_t d = 0; d < devices; ++d) {
    cluster.devices[d].speed = 1 + 0.25 * d;
    for (int32_t e = 0; e < devices; ++e)
      cluster.links.push_back({0.0001 * (1 + (d * 7 + e) % 5), 10.0 * ((d + 3 * e) % 4)});
  }
  return cluster;
}

TEST_F(PlaceKernels, BatchSimulateGivesTheIntegersOfItsTwin) {
  for (const int32_t devices : {1 + 1, 4, 8, 32}) {
    ExpectTheSame({.ops = 1000}, Cluster(devices, INT64_MAX, {}, Comm::kParallel), Mode::kInfer);
  }
}

TEST_F(PlaceKernels, BatchSimulateKnowsUnlikeDevicesAndLinks) {
  ExpectTheSame({.ops = 1000}, Unlike(3, INT64_MAX), Mode::kInfer);
  ExpectTheSame({.ops = 1000}, Unlike(9, 100'000'000), Mode::kInfer);
}

TEST_F(PlaceKernels, BatchSimulateHoldsTimesBeyond32Bits) {
  ExpectTheSame({.ops = 500, .us = 1e6}, Cluster(4, INT64_MAX, {}, Comm::kParallel), Mode::kInfer);
  ExpectTheSame({.ops = 500, .us = 1e6}, Unlike(4, INT64_MAX), Mode::kInfer);
}

TEST_F(PlaceKernels, BatchSimulateSharesLinks) {
  for (const Comm comm : {Comm::kDuplex, Comm::kHalf}) {
    for (const int32_t devices : {2, 4, 32})
      ExpectTheSame({.ops = 1000}, Cluster(devices, INT64_MAX, {}, comm), Mode::kInfer);
    ExpectTheSame({.ops = 1000}, Unlike(5, 100'000'000, comm), Mode::kInfer);
    ExpectTheSame({.ops = 500, .us = 1e6}, Cluster(4, INT64_MAX, {}, comm), Mode::kInfer);
  }
}

TEST_F(PlaceKernels, BatchSimulateEstimatesTheSameMemory) {
  for (const Mode mode : {Mode::kInfer, Mode::kTrain}) {
    for (const int32_t devices : {2, 8, 32}) {
      ExpectTheSame({.ops = 1000}, Cluster(devices, 50'000'000, {}, Comm::kParallel), mode);
    }
  }
}

}  // namespace
}  // namespace orchard::place
