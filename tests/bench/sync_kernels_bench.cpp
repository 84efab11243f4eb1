// Bandwidth of the fused update kernels (lib/sync/update_kernels.h) beside a copy of the same
// buffers: sync_kernels_bench [--benchmark_repetitions=5]. One thread; 8 M elements, 1 in 64 sent.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "sync/arena.h"
#include "sync/pieces.h"
#include "sync/update_kernels.h"

namespace orchard::sync {
namespace {

constexpr int64_t kSize = 8 << 20;
constexpr double kRatio = 64;

struct Buffers {
  FlatBuffer<float> x{kSize}, g{kSize}, m{kSize}, e{kSize}, w{kSize}, wire{kSize};
  ArenaLayout layout{{{"w", {kSize}}}};
  Selection sent =
      BlockSelector(layout, {.ratio = kRatio, .order = BlockOrder::kUniform}, 1, "C2").At(0);
  std::vector<Piece> pieces = AllPieces();

  std::vector<Piece> AllPieces() {
    RegionPieces divided = Divide({0, kSize}, std::span(&sent, 1));
    divided.early.insert(divided.early.end(), divided.late.begin(), divided.late.end());
    std::sort(divided.early.begin(), divided.early.end(),
              [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
    return divided.early;
  }
  UpdateArgs<float> Args(StepRule rule = StepRule::kNesterov) {
    UpdateArgs<float> a;
    a.scalars.learning_rate = 0.01f;
    a.scalars.momentum = 0.9f;
    a.scalars.weight_decay = 5e-4f;
    a.scalars.one_minus_beta1 = a.scalars.one_minus_beta2 = 0.1f;
    a.scalars.beta2 = 0.9f;
    a.scalars.epsilon = 1e-8f;
    a.rule = rule;
    a.gradient = g.data();
    a.values = x.data();
    a.momentum = m.data();
    a.second_moment = w.data();
    a.error = e.data();
    a.extra = w.data();
    a.wire = wire.data();
    a.pieces = pieces.data();
    a.piece_count = std::ssize(pieces);
    return a;
  }
};

template <class F>
void Run(benchmark::State& state, double bytes_per_element, F&& f) {
  Buffers b;
  for (auto _ : state) {
    f(b);
    benchmark::ClobberMemory();
  }
  const double bytes = bytes_per_element * kSize * static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsRate);
}

void Copy(benchmark::State& state) {
  Run(state, 8, [](Buffers& b) { std::copy_n(b.g.data(), kSize, b.x.data()); });
}
void LocalStep20(benchmark::State& state) {
  Run(state, 20, [](Buffers& b) { LocalStep(b.Args(), nullptr); });
}
void LocalStepAdamW28(benchmark::State& state) {
  Run(state, 28, [](Buffers& b) { LocalStep(b.Args(StepRule::kAdamW), nullptr); });
}
void SplitStep28(benchmark::State& state) {
  Run(state, 28, [](Buffers& b) { SplitStep(b.Args(), nullptr); });
}
void ErrorFeedback36(benchmark::State& state) {
  Run(state, 36, [](Buffers& b) { ErrorFeedback(b.Args(), nullptr); });
}
void QsparseStep32(benchmark::State& state) {
  Run(state, 32, [](Buffers& b) { QsparseStep(b.Args(), nullptr); });
}
BENCHMARK(Copy);
BENCHMARK(LocalStep20);
BENCHMARK(LocalStepAdamW28);
BENCHMARK(SplitStep28);
BENCHMARK(ErrorFeedback36);
BENCHMARK(QsparseStep32);

}  // namespace
}  // namespace orchard::sync

BENCHMARK_MAIN();
