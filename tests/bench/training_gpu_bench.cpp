// The kernels of segmentation and of training with error reset, beside a device copy
// (gpu_measure.h), and beside what LibTorch's own operations take for the same (names that end in
// /libtorch). Bytes are those that a kernel must move; of attention, which computes more than it
// moves, the counter `flops` says how many products and sums a second.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/gpu_measure.h"
#include "cuda/sync/drift_sums.h"
#include "cuda/sync/top_k_select.h"
#include "cuda/sync/update_kernels.h"
#include "cuda/sync/wire_codec.h"
#include "gpu/device_array.h"
#include "nn/device.h"
#include "segment/cosine_attention.h"
#include "segment/instance_norm.h"
#include "segment/segmentation_loss.h"
#include "sync/pieces.h"

namespace orchard {
namespace {

using bench::Measure;
using gpu::DeviceArray;

at::TensorOptions OnGpu(at::ScalarType type = at::kFloat) {
  return at::TensorOptions().dtype(type).device(c10::kCUDA, 0);
}

void Add(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->MinTime(0.1);
}

// ---- segmentation

// Two maps of 32 channels and 96 x 96 x 96 voxels.
void InstanceNorm(benchmark::State& state, at::ScalarType type, bool backward, bool own) {
  const at::Tensor x = at::randn({2, 32, 96, 96, 96}, OnGpu())
                           .to(type)
                           .contiguous(at::MemoryFormat::ChannelsLast3d)
                           .requires_grad_(backward);
  const at::Tensor weight = at::ones({32}, OnGpu()).requires_grad_(backward);
  const at::Tensor bias = at::zeros({32}, OnGpu()).requires_grad_(backward);
  const auto forward = [&] {
    if (own) return segment::InstanceNormLeakyRelu(x, weight, bias);
    return at::leaky_relu(
        at::instance_norm(x, weight.to(type), bias.to(type), {}, {}, true, 0, 1e-5, false), 0.01);
  };
  const at::Tensor dy =
      at::randn(x.sizes(), OnGpu()).to(type).contiguous(at::MemoryFormat::ChannelsLast3d);
  const double map = static_cast<double>(x.nbytes());
  if (!backward) return Measure(state, 2 * map, [&](int) { forward(); });
  Measure(state, 5 * map, [&](int) {
    x.mutable_grad().reset();  // else it would be added to
    forward().backward(dy);
  });
}

void Attention(benchmark::State& state, int64_t tokens, bool backward, bool own) {
  constexpr int64_t kChannels = 64, kClasses = 3;
  const auto make = [&](int64_t rows) {
    return at::randn({1, rows, kChannels}, OnGpu()).requires_grad_(backward);
  };
  const at::Tensor q = make(tokens), k = make(tokens), v = make(tokens);
  // Every cell belongs to one class, a few to two.
  at::Tensor mu = at::zeros({1, kClasses, tokens}, OnGpu());
  for (int64_t c = 0; c < kClasses; ++c)
    mu[0][c].narrow(0, c * tokens / kClasses, tokens / kClasses).fill_(1);
  mu[0][0].narrow(0, tokens / kClasses, 64).fill_(0.5);
  const at::Tensor tau = at::full({1}, 10.0, OnGpu()), beta = at::full({1}, 10.0, OnGpu());
  const auto forward = [&] {
    const segment::TemplateTokens template_tokens{k, v, mu};
    return own ? segment::CosineAttention(q, template_tokens, tau, beta)
               : segment::ComposedCosineAttention(q, template_tokens, tau, beta);
  };
  const auto run = [&](int) {
    for (const at::Tensor& t : {q, k, v}) t.mutable_grad().reset();
    const segment::AttentionResult a = forward();
    if (backward) a.context.sum().backward();
  };
  Measure(state, 4.0 * static_cast<double>(q.nbytes()), run);
  const double pairs = static_cast<double>(tokens) * static_cast<double>(tokens);
  state.counters["flops"] = benchmark::Counter(
      pairs * 2 * 2 * kChannels * (backward ? 3.5 : 1) * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate);
}

void Loss(benchmark::State& state, bool own) {
  const at::Tensor logits = at::randn({2, 4, 128, 128, 96}, OnGpu()).requires_grad_(true);
  const at::Tensor labels = at::randint(0, 4, {2, 128, 128, 96}, OnGpu(at::kByte));
  Measure(state, 3.0 * static_cast<double>(logits.nbytes()), [&](int) {
    logits.mutable_grad().reset();
    const segment::LossParts parts = own ? segment::SegmentationLoss(logits, labels, {})
                                         : segment::ComposedSegmentationLoss(logits, labels, {});
    parts.total.backward();
  });
}

// ---- error reset. The arena of WRN-40-8.

constexpr int64_t kArena = 35'794'944, kBlock = 1024, kRatio = 64;

// The arena, of which every 64th block of 1024 elements is sent.
struct Arena {
  DeviceArray<float> gradient{kArena}, values{kArena}, momentum{kArena}, error{kArena};
  DeviceArray<float> wire{kArena / kRatio + kBlock};
  std::unique_ptr<DeviceArray<sync::Piece>> pieces, sent;
  int64_t piece_count = 0, sent_count = 0, sent_elements = 0;

  Arena() {
    for (const DeviceArray<float>* a : {&gradient, &values, &momentum, &error, &wire})
      gpu::CheckCuda(cudaMemset(a->data(), 0, a->Bytes()), "cudaMemset");
    sync::Selection selection;
    for (int64_t b = 0; (b + 1) * kBlock <= kArena; b += kRatio) {
      selection.runs.push_back({b * kBlock, (b + 1) * kBlock});
      selection.count += kBlock;
    }
    const sync::RegionPieces divided =
        sync::Divide({0, kArena}, std::span<const sync::Selection>(&selection, 1));
    std::vector<sync::Piece> all = divided.early;
    all.insert(all.end(), divided.late.begin(), divided.late.end());
    const std::vector<sync::Piece> moves = sync::PiecesOf(selection, 0);
    pieces = std::make_unique<DeviceArray<sync::Piece>>(all);
    sent = std::make_unique<DeviceArray<sync::Piece>>(moves);
    piece_count = std::ssize(all);
    sent_count = std::ssize(moves);
    sent_elements = selection.count;
  }

  sync::UpdateArgs<float> Update() const {
    sync::UpdateArgs<float> a;
    a.scalars.learning_rate = 1e-3f;
    a.scalars.momentum = 0.9f;
    a.scalars.gradient_scale = 1;
    a.gradient = gradient.data();
    a.values = values.data();
    a.momentum = momentum.data();
    a.error = error.data();
    a.wire = wire.data();
    a.pieces = pieces->data();
    a.piece_count = piece_count;
    return a;
  }
};

void LocalStep(benchmark::State& state) {
  const Arena arena;
  Measure(state, 20.0 * kArena, [&](int) { cuda::LocalStep(arena.Update(), nullptr); });
}

void SplitStep(benchmark::State& state) {
  const Arena arena;
  Measure(state, 28.0 * kArena, [&](int) { cuda::SplitStep(arena.Update(), nullptr); });
}

// What K1 fuses, operation by operation.
void LocalStepOfLibtorch(benchmark::State& state) {
  const c10::NoGradGuard no_gradient;
  const at::Tensor g = at::zeros({kArena}, OnGpu()), x = at::zeros_like(g), m = at::zeros_like(g);
  Measure(state, 20.0 * kArena, [&](int) {
    const at::Tensor decayed = g.add(x, 5e-4);
    m.mul_(0.9).add_(decayed);
    x.add_(decayed.add(m, 0.9), -1e-3);
  });
}

void Scatter(benchmark::State& state) {
  const Arena arena;
  sync::MoveArgs<float> move{arena.sent->data(), arena.sent_count, arena.wire.data(),
                             arena.values.data(), 0.25f};
  Measure(state, 8.0 * static_cast<double>(arena.sent_elements),
          [&](int) { cuda::Scatter(move, nullptr); });
}

void EncodeBf16(benchmark::State& state) {
  DeviceArray<float> values(kArena);
  DeviceArray<BFloat16> codes(kArena);
  gpu::CheckCuda(cudaMemset(values.data(), 0, values.Bytes()), "cudaMemset");
  const sync::HalfArgs<float, BFloat16> args{kArena, values.data(), codes.data()};
  Measure(state, 10.0 * kArena, [&](int) { cuda::EncodeHalf(args, nullptr); });
}

void DriftSums(benchmark::State& state) {
  DeviceArray<float> values(kArena), mean(kArena);
  gpu::CheckCuda(cudaMemset(values.data(), 0, values.Bytes()), "cudaMemset");
  gpu::CheckCuda(cudaMemset(mean.data(), 0, mean.Bytes()), "cudaMemset");
  const DeviceArray<std::byte> workspace(cuda::DriftWorkspace(kArena));
  const DeviceArray<sync::DriftSums> sums(1);
  Measure(state, 8.0 * kArena, [&](int) {
    cuda::SumDrift(kArena, values.data(), mean.data(), workspace.data(), sums.data(), nullptr);
  });
}

// One hundred tensors, a thousandth of each.
void TopK(benchmark::State& state) {
  constexpr int64_t kTensors = 100, kCount = kArena / kTensors, kKept = kCount / 1000;
  const at::Tensor values = at::randn({kArena}, OnGpu());
  std::vector<sync::TopKSegment> host;
  for (int64_t t = 0; t < kTensors; ++t) host.push_back({t * kCount, kCount, kKept, t * kKept});
  const DeviceArray<sync::TopKSegment> segments(host);
  const DeviceArray<int32_t> places(kTensors * kKept);
  const sync::TopKArgs<float> args{values.const_data_ptr<float>(), segments.data(), kTensors,
                                   places.data()};
  Measure(state, 20.0 * kArena, [&](int) { cuda::SelectTopK(args, nullptr); });
}

void RegisterAll() {
  Add("device_copy", bench::DeviceCopy);  // first: the others are set in relation to it
  for (const bool own : {true, false}) {
    const std::string peer = own ? "" : "/libtorch";
    for (const bool backward : {false, true}) {
      const std::string pass = backward ? "/forward+backward" : "/forward";
      for (const auto& [name, type] :
           {std::pair{"f32", at::kFloat}, std::pair{"bf16", at::kBFloat16}}) {
        Add("InstanceNorm/" + std::string(name) + pass + peer,
            [=](benchmark::State& s) { InstanceNorm(s, type, backward, own); });
      }
      for (const int64_t tokens : {4096, 16384}) {
        Add("CosineAttention/" + std::to_string(tokens) + pass + peer,
            [=](benchmark::State& s) { Attention(s, tokens, backward, own); });
      }
    }
    Add("SegmentationLoss" + peer, [=](benchmark::State& s) { Loss(s, own); });
  }
  Add("LocalStep", LocalStep);
  Add("LocalStep/libtorch", LocalStepOfLibtorch);
  Add("SplitStep", SplitStep);
  Add("Scatter", Scatter);
  Add("EncodeBf16", EncodeBf16);
  Add("DriftSums", DriftSums);
  Add("TopK", TopK);
}

}  // namespace
}  // namespace orchard

int main(int argc, char** argv) {
  if (!orchard::cuda::DeviceAvailable()) {
    std::fprintf(stderr, "training_gpu_bench: no CUDA device\n");
    return 7;
  }
  orchard::nn::LoadCudaBackend();
  orchard::nn::AllowTf32(false);
  orchard::RegisterAll();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
