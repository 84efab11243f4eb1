// Bandwidth of an optimiser step beside a copy of memory measured in the same run. Bytes are those
// a step must move: AdamW reads and writes the weight and two moments and reads the gradient (28
// per f32 element); a copy reads and writes (8).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "nn/optimizer.h"

namespace orchard::nn {
namespace {

constexpr int64_t kElements = int64_t{1} << 25;  // 128 MiB in f32: far beyond the caches
constexpr int64_t kTensors = 64;

void Copy(benchmark::State& state) {
  const at::Tensor from = at::ones({kElements}), to = at::zeros({kElements});
  const auto copy = [&](int64_t begin, int64_t end) {
    std::memcpy(to.data_ptr<float>() + begin, from.data_ptr<float>() + begin, (end - begin) * 4);
  };
  for (auto _ : state) at::parallel_for(0, kElements, 1 << 16, copy);
  state.SetBytesProcessed(state.iterations() * kElements * 8);
}

void Step(benchmark::State& state, OptimizerKind kind, at::ScalarType type, int64_t bytes) {
  std::vector<OptimizedTensor> tensors;
  for (int64_t i = 0; i < kTensors; ++i) {
    at::Tensor value = at::ones({kElements / kTensors}, type);
    value.mutable_grad() = at::full_like(value, 1e-3);
    tensors.push_back({"t" + std::to_string(i), value});
  }
  Optimizer optimizer(tensors, {.name = kind});
  optimizer.Step(1e-3);  // makes the state and touches its pages
  for (auto _ : state) optimizer.Step(1e-3);
  state.SetBytesProcessed(state.iterations() * kElements * bytes);
}

BENCHMARK(Copy)->UseRealTime();
BENCHMARK_CAPTURE(Step, adamw_f32, OptimizerKind::kAdamW, at::kFloat, 28)->UseRealTime();
BENCHMARK_CAPTURE(Step, adamw_bf16, OptimizerKind::kAdamW, at::kBFloat16, 28)->UseRealTime();
BENCHMARK_CAPTURE(Step, sgd_f32, OptimizerKind::kSgd, at::kFloat, 20)->UseRealTime();

}  // namespace
}  // namespace orchard::nn

BENCHMARK_MAIN();
