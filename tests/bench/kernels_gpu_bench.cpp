// Achieved bandwidth of every kernel, as a share of a device-to-device copy measured in the same
// run (gpu_measure.h). Bytes are those a kernel must move.
#include <benchmark/benchmark.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>

#include "bench/gpu_measure.h"
#include "cuda/expand/copy_divergence.h"
#include "cuda/expand/expand_matrix.h"
#include "cuda/expand/logits_compare.h"
#include "cuda/expand/row_mean.h"
#include "cuda/nn/activation.h"
#include "cuda/nn/cross_entropy.h"
#include "cuda/nn/dropout.h"
#include "cuda/nn/norm.h"
#include "cuda/nn/parameter_update.h"
#include "expand/axis_map.h"
#include "gpu/device_array.h"
#include "unit/nn/buffers.h"

namespace orchard {
namespace {

using bench::kSets;
using bench::Measure;
using gpu::CheckCuda;
using gpu::DeviceArray;
using T = BFloat16;
constexpr FloatType kType = FloatType::kBF16;

// kSets device arrays of random values: a million drawn on the host, repeated on the device,
// because drawing hundreds of millions would take minutes. Sets begin at different places of the
// pattern.
class Inputs {
 public:
  Inputs(int64_t count, double deviation = 1) {
    constexpr int64_t kPattern = int64_t{1} << 20, kShift = 4099;
    const auto pattern = nn::RandomBuffer<T>(kPattern + kSets * kShift, 0, 0, deviation);
    for (int64_t set = 0; set < kSets; ++set) {
      arrays_.push_back(std::make_unique<DeviceArray<T>>(count));
      T* data = arrays_.back()->data();
      int64_t filled = std::min(count, kPattern);
      Copy(data, pattern.data() + set * kShift, filled, cudaMemcpyHostToDevice);
      for (; filled < count; filled = std::min(count, 2 * filled)) {
        Copy(data + filled, data, std::min(filled, count - filled), cudaMemcpyDeviceToDevice);
      }
    }
  }
  T* operator[](int set) const { return arrays_[set]->data(); }

 private:
  static void Copy(T* to, const T* from, int64_t count, cudaMemcpyKind kind) {
    CheckCuda(cudaMemcpy(to, from, static_cast<size_t>(count) * sizeof(T), kind), "cudaMemcpy");
  }

  std::vector<std::unique_ptr<DeviceArray<T>>> arrays_;
};

constexpr int64_t kRows = 16384, kWidth = 4096;

void Norm(benchmark::State& state, nn::NormKind kind, bool backward) {
  const Inputs x(kRows * kWidth), dy(backward ? kRows * kWidth : 1);
  const Inputs weight(kWidth);
  DeviceArray<T> y(kRows * kWidth), dweight(kWidth), dbias(kWidth);
  DeviceArray<float> mean(kRows), rstd(kRows);
  DeviceArray<char> space(nn::NormBackwardWorkspace(kRows, kWidth, kType));
  const auto forward = [&](int set) {
    cuda::NormForward({"x", kind, kType, kType, kRows, kWidth, 1e-5, 0, x[set], weight[0],
                       weight[1], y.data(), mean.data(), rstd.data()},
                      nullptr);
  };
  if (!backward) return Measure(state, 2.0 * kRows * kWidth * sizeof(T), forward);
  forward(0);
  Measure(state, 3.0 * kRows * kWidth * sizeof(T), [&](int set) {
    cuda::NormBackward(
        {"x", kind, kType, kType, kRows, kWidth, 0, dy[set], x[set], weight[0], mean.data(),
         rstd.data(), y.data(), dweight.data(), dbias.data(), space.data()},
        nullptr);
  });
}

void BiasActivation(benchmark::State& state, nn::Activation f, bool backward) {
  const Inputs x(kRows * kWidth), dy(backward ? kRows * kWidth : 1), bias(kWidth);
  DeviceArray<T> y(kRows * kWidth), dbias(kWidth);
  DeviceArray<char> space(nn::BiasActivationWorkspace(kRows, kWidth, kType));
  Measure(state, (backward ? 3.0 : 2.0) * kRows * kWidth * sizeof(T), [&](int set) {
    if (backward) {
      cuda::BiasActivationBackward({"x", f, kType, kRows, kWidth, dy[set], x[set], bias[0],
                                    y.data(), dbias.data(), space.data()},
                                   nullptr);
    } else {
      cuda::BiasActivationForward({"x", f, kType, kRows, kWidth, x[set], bias[0], y.data()},
                                  nullptr);
    }
  });
}

void Gated(benchmark::State& state, nn::Activation f, bool backward) {
  constexpr int64_t kCount = kRows * kWidth;
  const Inputs gate(kCount), up(kCount), dy(backward ? kCount : 1);
  DeviceArray<T> y(kCount), dup(backward ? kCount : 1);
  Measure(state, (backward ? 5.0 : 3.0) * kCount * sizeof(T), [&](int set) {
    if (backward) {
      cuda::GatedBackward(
          {"x", f, kType, kCount, dy[set], gate[set], up[set], y.data(), dup.data()}, nullptr);
    } else {
      cuda::GatedForward({"x", f, kType, kCount, gate[set], up[set], y.data()}, nullptr);
    }
  });
}

void CrossEntropy(benchmark::State& state, bool backward) {
  constexpr int64_t kTokens = 4096, kClasses = 50304;
  const Inputs logits(kTokens * kClasses, 3);
  std::vector<int64_t> target(kTokens);
  for (int64_t i = 0; i < kTokens; ++i) target[i] = i * 11 % kClasses;
  DeviceArray<int64_t> targets(target);
  DeviceArray<float> loss(kTokens), log_sum(kTokens), dloss(std::vector<float>(kTokens, 1.0f));
  DeviceArray<T> dlogits(backward ? kTokens * kClasses : 1);
  const auto forward = [&](int set) {
    cuda::CrossEntropyForward({"logits", kType, kTokens, kClasses, -100, 0, logits[set],
                               targets.data(), loss.data(), log_sum.data()},
                              nullptr);
  };
  if (!backward) return Measure(state, 1.0 * kTokens * kClasses * sizeof(T), forward);
  forward(0);
  Measure(state, 2.0 * kTokens * kClasses * sizeof(T), [&](int set) {
    cuda::CrossEntropyBackward({"logits", kType, kTokens, kClasses, -100, 0, logits[set],
                                targets.data(), log_sum.data(), dloss.data(), dlogits.data()},
                               nullptr);
  });
}

void Dropout(benchmark::State& state) {
  constexpr int64_t kCount = kRows * kWidth;
  const Inputs x(kCount);
  DeviceArray<T> y(kCount);
  Measure(state, 2.0 * kCount * sizeof(T), [&](int set) {
    nn::DropoutArgs args;
    args.type = kType;
    args.count = kCount;
    args.probability = 0.1;
    args.x = x[set];
    args.y = y.data();
    cuda::Dropout(args, nullptr);
  });
}

void AdamW(benchmark::State& state) {
  constexpr int64_t kCount = int64_t{1} << 27;
  const Inputs gradient(kCount);
  DeviceArray<T> value(kCount);
  DeviceArray<float> master(kCount), first(kCount), second(kCount);
  const DeviceArray<double> scale(std::vector<double>{1.0});
  for (const DeviceArray<float>* state_array : {&master, &first, &second}) {
    CheckCuda(cudaMemset(state_array->data(), 0, state_array->Bytes()), "cudaMemset");
  }
  Measure(state, 28.0 * kCount, [&](int set) {
    nn::TensorUpdate update;
    update.type = kType;
    update.count = kCount;
    update.value = value.data();
    update.gradient = gradient[set];
    update.master = master.data();
    update.first = first.data();
    update.second = second.data();
    update.learning_rate = 1e-3;
    nn::AdamWArgs args;
    args.tensors = &update;
    args.tensor_count = 1;
    args.gradient_scale = scale.data();
    cuda::AdamW(args, nullptr);
  });
}

void ExpandMatrix(benchmark::State& state, expand::Split split) {
  constexpr int64_t kSource = 4096, kTarget = 8192;
  const Inputs source(kSource * kSource, 0.02);
  const expand::AxisMap map = expand::AxisMap::Circular(kSource, kTarget);
  const expand::ColumnTables tables = expand::MakeColumnTables(kSource, map.entries());
  const DeviceArray<int32_t> rows(std::vector<int32_t>(map.entries().begin(), map.entries().end())),
      first(tables.first), targets(tables.targets);
  DeviceArray<T> target(kTarget * kTarget);
  Measure(state, (1.0 * kSource * kSource + 1.0 * kTarget * kTarget) * sizeof(T), [&](int set) {
    expand::ExpandMatrixArgs args;
    args.type = kType;
    args.source_rows = args.source_columns = kSource;
    args.target_rows = args.target_columns = kTarget;
    args.split = split;
    args.sigma = 0.02;
    args.source = source[set];
    args.rows = rows.data();
    args.column_first = first.data();
    args.column_targets = targets.data();
    args.most_copies = 2;
    args.target = target.data();
    cuda::ExpandMatrix(args, nullptr);
  });
}

void RowMean(benchmark::State& state) {
  constexpr int64_t kSize = 8192;
  const Inputs matrix(kSize * kSize);
  DeviceArray<double> mean(kSize);
  Measure(state, 1.0 * kSize * kSize * sizeof(T), [&](int set) {
    cuda::RowMean({"m", kType, kSize, kSize, 1, matrix[set], nullptr, mean.data()}, nullptr);
  });
}

void CopyDivergence(benchmark::State& state) {
  constexpr int64_t kSize = 8192, kPairs = kSize / 2;
  const Inputs matrix(kSize * kSize);
  std::vector<int64_t> first(kPairs), other(kPairs);
  for (int64_t p = 0; p < kPairs; ++p) first[p] = p, other[p] = p + kPairs;
  const DeviceArray<int64_t> a(first), b(other);
  DeviceArray<double> divergence(kPairs);
  Measure(state, 1.0 * kSize * kSize * sizeof(T), [&](int set) {
    cuda::CopyDivergence(
        {"m", kType, kSize, kSize, kPairs, matrix[set], a.data(), b.data(), divergence.data()},
        nullptr);
  });
}

void LogitsCompare(benchmark::State& state) {
  constexpr int64_t kTokens = 1024, kClasses = 50304;
  const Inputs a(kTokens * kClasses), b(kTokens * kClasses);
  DeviceArray<expand::LogitsComparison> result(kTokens);
  Measure(state, 2.0 * kTokens * kClasses * sizeof(T), [&](int set) {
    cuda::LogitsCompare(
        {"logits", kType, kTokens, kClasses, a[set], b[(set + 1) % kSets], result.data()}, nullptr);
  });
}

void RegisterAll() {
  const auto add = [](const char* name, const std::function<void(benchmark::State&)>& run) {
    benchmark::RegisterBenchmark(name, run)->UseManualTime()->MinTime(0.2);
  };
  add("device_copy", bench::DeviceCopy);  // first: the others are set in relation to it
  for (const bool backward : {false, true}) {
    const std::string pass = backward ? "/backward" : "/forward";
    add(("LayerNorm" + pass).c_str(),
        [=](benchmark::State& s) { Norm(s, nn::NormKind::kLayerNorm, backward); });
    add(("RmsNorm" + pass).c_str(),
        [=](benchmark::State& s) { Norm(s, nn::NormKind::kRmsNorm, backward); });
    add(("BiasGelu" + pass).c_str(),
        [=](benchmark::State& s) { BiasActivation(s, nn::Activation::kGelu, backward); });
    add(("BiasGeluTanh" + pass).c_str(),
        [=](benchmark::State& s) { BiasActivation(s, nn::Activation::kGeluTanh, backward); });
    add(("SwiGlu" + pass).c_str(),
        [=](benchmark::State& s) { Gated(s, nn::Activation::kSilu, backward); });
    add(("CrossEntropy" + pass).c_str(), [=](benchmark::State& s) { CrossEntropy(s, backward); });
  }
  add("Dropout", Dropout);
  add("AdamW", AdamW);
  add("ExpandMatrix/grid", [](benchmark::State& s) { ExpandMatrix(s, expand::Split::kGrid); });
  add("ExpandMatrix/equal", [](benchmark::State& s) { ExpandMatrix(s, expand::Split::kEqual); });
  add("RowMean", RowMean);
  add("CopyDivergence", CopyDivergence);
  add("LogitsCompare", LogitsCompare);
}

}  // namespace
}  // namespace orchard

int main(int argc, char** argv) {
  if (!orchard::cuda::DeviceAvailable()) {
    std::fprintf(stderr, "kernels_gpu_bench: no CUDA device\n");
    return 7;
  }
  orchard::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
