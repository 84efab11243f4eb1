// Candidate plans per second on the GPU: the kernel alone, by device events, and with the
// candidates sent and the results fetched. A layered graph of 2500 operators and 4900 edges on four
// devices.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <random>

#include "cuda/base/launch.h"
#include "cuda/place/batch_simulate.h"
#include "gpu/device_array.h"
#include "place/batch_simulator.h"
#include "place/generate.h"

namespace orchard::place {
namespace {

using gpu::CheckCuda;
using gpu::DeviceArray;

class Plans {
 public:
  explicit Plans(int64_t memory)
      : graph_(Generate({.ops = 2500, .width = 50, .degree = 2}, 1)),
        problem_(graph_, Cluster(4, memory, {}, Comm::kParallel), {},
                 GroupOperators(graph_, Grouping::kNone)) {}

  const Problem& problem() const { return problem_; }
  void FillOrder(std::span<int32_t> order) const {
    for (int32_t i = 0; i < problem_.ops.size(); ++i) order[problem_.ops.topo[i]] = i;
  }
  void FillDevices(std::span<uint8_t> device) const {
    std::mt19937 random(5);
    for (uint8_t& d : device) d = static_cast<uint8_t>(random() % 4);
  }

 private:
  Graph graph_;
  Problem problem_;
};

void Kernel(benchmark::State& state, int64_t blocks, int64_t limit) {
  const Plans plans(limit);
  const BatchGraph graph(plans.problem());
  const int64_t lanes = blocks * kBatchLanes;
  std::vector<int32_t> orders(static_cast<size_t>(blocks * graph.ops));
  for (int64_t b = 0; b < blocks; ++b)
    plans.FillOrder(std::span(orders).subspan(b * graph.ops, graph.ops));
  std::vector<uint8_t> devices(static_cast<size_t>(lanes * graph.ops));
  plans.FillDevices(devices);
  const DeviceArray<int32_t> in_begin(graph.in_begin), producer(graph.producer), work(graph.work32),
      cost(graph.cost32), order(orders), use_begin(graph.use_begin), used(graph.used),
      tensor_begin(graph.tensor_begin), end(lanes * graph.ops);
  const DeviceArray<uint8_t> device(devices), saved(graph.saved);
  const DeviceArray<int64_t> bytes(graph.bytes), copy(graph.copy), perm(graph.perm),
      kept(graph.kept), fleeting(graph.fleeting), limits(graph.limit), makespan(lanes),
      excess(lanes);
  BatchMemory memory;
  BatchArgs args = graph.Args(nullptr, limit == INT64_MAX ? nullptr : &memory);
  const DeviceArray<uint32_t> readers(limit == INT64_MAX ? 1 : lanes * memory.tensors);
  args.blocks = blocks;
  args.in_begin = in_begin.data();
  args.producer = producer.data();
  args.work = work.data();
  args.cost = cost.data();
  args.order = order.data();
  args.device = device.data();
  args.end = end.data();
  args.makespan = makespan.data();
  memory = {memory.tensors, use_begin.data(), used.data(),  tensor_begin.data(), bytes.data(),
            copy.data(),    saved.data(),     perm.data(),  kept.data(),         fleeting.data(),
            limits.data(),  readers.data(),   excess.data()};
  cuda::BatchSimulate(args, nullptr);
  CheckCuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  cudaEvent_t begin, behind;
  CheckCuda(cudaEventCreate(&begin), "cudaEventCreate");
  CheckCuda(cudaEventCreate(&behind), "cudaEventCreate");
  for (auto _ : state) {
    CheckCuda(cudaEventRecord(begin), "cudaEventRecord");
    cuda::BatchSimulate(args, nullptr);
    CheckCuda(cudaEventRecord(behind), "cudaEventRecord");
    CheckCuda(cudaEventSynchronize(behind), "cudaEventSynchronize");
    float milliseconds = 0;
    CheckCuda(cudaEventElapsedTime(&milliseconds, begin, behind), "cudaEventElapsedTime");
    state.SetIterationTime(milliseconds * 1e-3);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(behind);
  state.counters["plans_per_second"] = benchmark::Counter(
      static_cast<double>(lanes * state.iterations()), benchmark::Counter::kIsRate);
}

void WithTransfers(benchmark::State& state, int64_t blocks) {
  const Plans plans(INT64_MAX);
  BatchSimulator batch(plans.problem(), blocks, 1, 0);
  for (int64_t b = 0; b < blocks; ++b) {
    plans.FillOrder(batch.Order(b));
    plans.FillDevices(batch.Devices(b));
  }
  batch.Run(blocks);
  for (auto _ : state) batch.Run(blocks);
  state.counters["plans_per_second"] = benchmark::Counter(
      static_cast<double>(blocks * kBatchLanes * state.iterations()), benchmark::Counter::kIsRate);
}

void RegisterAll() {
  for (const int64_t candidates : {1024, 8192, 65536}) {
    const int64_t blocks = candidates / kBatchLanes;
    const std::string name = "BatchSimulate/" + std::to_string(candidates);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& s) { Kernel(s, blocks, INT64_MAX); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((name + "/memory").c_str(),
                                 [=](benchmark::State& s) { Kernel(s, blocks, 1'000'000'000); })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((name + "/transfers").c_str(),
                                 [=](benchmark::State& s) { WithTransfers(s, blocks); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace orchard::place

int main(int argc, char** argv) {
  if (!orchard::cuda::DeviceAvailable()) {
    std::fprintf(stderr, "place_gpu_bench: no CUDA device\n");
    return 7;
  }
  orchard::place::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
