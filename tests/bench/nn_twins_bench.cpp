// The fused operations on the CPU, forward and backward, beside the ATen composition and beside
// memcpy in the same run. `bytes_per_second` counts what an operation must move at least: for the
// composition too, so the rates compare directly.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <cstring>
#include <functional>
#include <vector>

#include "nn/composed_ops.h"
#include "nn/fused_ops.h"

namespace orchard::nn {
namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Tensors&)>;

// A training step of one operation: forward, and backward where `moved_backward` is not 0.
struct Workload {
  Operation operation;
  Tensors inputs;
  int64_t moved;  // tensors of the size of the first input that are read or written
  bool backward;
};

void Run(benchmark::State& state, const Workload& work) {
  const at::Tensor seed = work.backward ? at::ones_like(work.operation(work.inputs)) : at::Tensor();
  for (auto _ : state) {
    const at::Tensor y = work.operation(work.inputs);
    if (work.backward) {
      y.backward(seed);
      for (const at::Tensor& t : work.inputs) t.mutable_grad() = at::Tensor();
    }
    benchmark::DoNotOptimize(y.const_data_ptr());
  }
  const at::Tensor& x = work.inputs[0];
  state.SetBytesProcessed(state.iterations() * work.moved * x.numel() * x.element_size());
}

at::Tensor Leaf(at::IntArrayRef shape, at::ScalarType type, bool gradient) {
  return at::randn(shape, at::TensorOptions(at::kFloat)).to(type).requires_grad_(gradient);
}

void Register(const std::string& name, const Operation& fused, const Operation& composed,
              const std::function<Tensors(at::ScalarType, bool)>& inputs, int64_t forward,
              int64_t both) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool backward : {false, true}) {
      const std::string suffix =
          std::string(type == at::kFloat ? "/f32" : "/bf16") + (backward ? "/train" : "/forward");
      const int64_t moved = backward ? both : forward;
      const auto add = [&](const std::string& kind, const Operation& operation) {
        const std::string full = name + suffix + "/" + kind;
        benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
          Run(state, {operation, inputs(type, backward), moved, backward});
        })->UseRealTime();
      };
      add("twin", fused);
      add("aten", composed);
    }
  }
}

constexpr int64_t kRows = 4096, kWidth = 768, kHidden = 3072, kTokens = 1024, kVocabulary = 30522;

void RegisterAll() {
  benchmark::RegisterBenchmark("memcpy", [](benchmark::State& state) {
    std::vector<char> from(size_t{1} << 26, 1), to(from.size());
    for (auto _ : state) {
      std::memcpy(to.data(), from.data(), from.size());
      benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * 2 * static_cast<int64_t>(from.size()));
  })->UseRealTime();
  const auto norm_inputs = [](at::ScalarType type, bool gradient) {
    return Tensors{Leaf({kRows, kWidth}, type, gradient), Leaf({kWidth}, type, gradient),
                   Leaf({kWidth}, type, gradient)};
  };
  Register(
      "LayerNorm", [](const Tensors& t) { return LayerNorm(t[0], t[1], t[2], 1e-5); },
      [](const Tensors& t) { return composed::LayerNorm(t[0], t[1], t[2], 1e-5); }, norm_inputs, 2,
      5);
  Register(
      "RmsNorm", [](const Tensors& t) { return RmsNorm(t[0], t[1], 1e-6); },
      [](const Tensors& t) { return composed::RmsNorm(t[0], t[1], 1e-6, Gain::kWeight); },
      norm_inputs, 2, 5);
  const auto hidden_inputs = [](at::ScalarType type, bool gradient) {
    return Tensors{Leaf({kRows, kHidden}, type, gradient), Leaf({kHidden}, type, gradient)};
  };
  for (const Activation f : {Activation::kGelu, Activation::kGeluTanh}) {
    Register(
        f == Activation::kGelu ? "BiasGelu" : "BiasGeluTanh",
        [=](const Tensors& t) { return BiasActivation(t[0], t[1], f); },
        [=](const Tensors& t) { return composed::BiasActivation(t[0], t[1], f); }, hidden_inputs, 2,
        5);
  }
  const auto gate_inputs = [](at::ScalarType type, bool gradient) {
    return Tensors{Leaf({kRows, kHidden}, type, gradient), Leaf({kRows, kHidden}, type, gradient)};
  };
  for (const Activation f : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    Register(
        f == Activation::kSilu   ? "SwiGlu"
        : f == Activation::kGelu ? "GeGlu"
                                 : "GeGluTanh",
        [=](const Tensors& t) { return GatedActivation(t[0], t[1], f); },
        [=](const Tensors& t) { return composed::GatedActivation(t[0], t[1], f); }, gate_inputs, 3,
        8);
  }
  const at::Tensor targets = at::randint(kVocabulary, {kTokens}, at::kLong);
  Register(
      "CrossEntropy", [=](const Tensors& t) { return CrossEntropyRows(t[0], targets, {}); },
      [=](const Tensors& t) { return composed::CrossEntropyRows(t[0], targets, {}); },
      [](at::ScalarType type, bool gradient) {
        return Tensors{Leaf({kTokens, kVocabulary}, type, gradient)};
      },
      1, 3);
  const DropoutRandom random{PhiloxKey(1, 2), 3};
  Register(
      "Dropout", [=](const Tensors& t) { return Dropout(t[0], 0.1, random); },
      [](const Tensors& t) { return at::dropout(t[0], 0.1, true); }, hidden_inputs, 2, 4);
}

}  // namespace
}  // namespace orchard::nn

int main(int argc, char** argv) {
  orchard::nn::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::RunSpecifiedBenchmarks();
}
