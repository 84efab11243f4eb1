// Plans simulated per second on one core: the event simulator with each kind of links, and batches
// of candidate plans. GNMT v2 (2494 operators, 4 devices) where the working directory is the
// repository, and a layered graph of the same size. Placements are random over contiguous groups of
// ops, as a search meets them.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <random>

#include "place/batch_simulator.h"
#include "place/generate.h"
#include "place/read_graph.h"

namespace orchard::place {
namespace {

constexpr char kGnmt[] = "data/graphs/gnmt_v2.json";
constexpr int kPlans = 64;

Graph GraphNamed(bool gnmt) {
  return gnmt ? ReadGraph(kGnmt) : Generate({.ops = 2500, .width = 50, .degree = 2}, 1);
}

Problem MakeProblem(const Graph& graph, Comm comm) {
  return Problem(graph, Cluster(4, INT64_MAX, {}, comm), {}, GroupOperators(graph, Grouping::kTf));
}

// Four stretches of the topological order, and some operators elsewhere.
std::vector<std::vector<int32_t>> Placements(const Problem& problem) {
  std::mt19937 random(5);
  std::vector<std::vector<int32_t>> plans(kPlans, std::vector<int32_t>(problem.ops.size()));
  for (auto& plan : plans) {
    for (int32_t i = 0; i < problem.ops.size(); ++i)
      plan[i] = static_cast<int32_t>(int64_t{problem.ops.topo[i]} * 4 / problem.ops.size());
    for (int k = 0; k < 40; ++k) plan[random() % plan.size()] = static_cast<int32_t>(random() % 4);
  }
  return plans;
}

void Events(benchmark::State& state, bool gnmt, Comm comm, Dispatch dispatch) {
  const Graph graph = GraphNamed(gnmt);
  const Problem problem = MakeProblem(graph, comm);
  const auto plans = Placements(problem);
  Simulator simulator(problem.ops, problem.cluster);
  int at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(simulator.Run(plans[at], dispatch, {}, problem.priority));
    at = (at + 1) % kPlans;
  }
  state.SetItemsProcessed(state.iterations());
}

void Batch(benchmark::State& state, bool gnmt, bool limits, Comm comm) {
  const Graph graph = GraphNamed(gnmt);
  const Problem problem(graph, Cluster(4, limits ? 1'000'000'000 : INT64_MAX, {}, comm), {},
                        GroupOperators(graph, Grouping::kTf));
  const auto plans = Placements(problem);
  BatchSimulator batch(problem, kPlans / kBatchLanes, 1);
  for (int64_t block = 0; block < batch.blocks(); ++block) {
    for (int32_t i = 0; i < problem.ops.size(); ++i) {
      batch.Order(block)[problem.ops.topo[i]] = i;
      for (int lane = 0; lane < kBatchLanes; ++lane)
        batch.Devices(block)[static_cast<size_t>(i) * kBatchLanes + lane] =
            static_cast<uint8_t>(plans[block * kBatchLanes + lane][i]);
    }
  }
  for (auto _ : state) batch.Run(batch.blocks());
  state.SetItemsProcessed(state.iterations() * kPlans);
}

void RegisterAll() {
  for (const bool gnmt : {true, false}) {
    if (gnmt && !std::filesystem::exists(kGnmt)) continue;
    const std::string name = gnmt ? "gnmt" : "layered";
    for (const Comm comm : {Comm::kParallel, Comm::kDuplex, Comm::kHalf}) {
      benchmark::RegisterBenchmark(
          (name + "/events, " + Name(comm) + ", by arrival").c_str(),
          [=](benchmark::State& s) { Events(s, gnmt, comm, Dispatch::kFifo); });
      benchmark::RegisterBenchmark(
          (name + "/events, " + Name(comm) + ", by priority").c_str(),
          [=](benchmark::State& s) { Events(s, gnmt, comm, Dispatch::kPriority); });
      benchmark::RegisterBenchmark((name + "/batch, " + Name(comm)).c_str(),
                                   [=](benchmark::State& s) { Batch(s, gnmt, false, comm); });
    }
    benchmark::RegisterBenchmark((name + "/batch with memory").c_str(), [=](benchmark::State& s) {
      Batch(s, gnmt, true, Comm::kParallel);
    });
  }
}

}  // namespace
}  // namespace orchard::place

int main(int argc, char** argv) {
  orchard::place::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
