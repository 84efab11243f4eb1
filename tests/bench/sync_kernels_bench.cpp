// Bandwidth of the fused update kernels (lib/sync/update_kernels.h) beside a copy of the same
// buffers: sync_kernels_bench [--benchmark_repetitions=5]. One thread; 8 M elements, 1 in 64 sent.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "sync/arena.h"
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
  Arenas<float> arenas() { return {x.span(), g.span(), m.span(), e.span(), w.span()}; }
};

constexpr StepScalars<float> kScalars{0.01f, 0.9f, 5e-4f};

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
  Run(state, 20, [](Buffers& b) {
    LocalStep<float>(kScalars, MomentumRule::kNesterov, b.arenas(), b.sent, b.wire.span(), nullptr);
  });
}
void SplitStep28(benchmark::State& state) {
  Run(state, 28, [](Buffers& b) {
    SplitStep<float>(kScalars, MomentumRule::kNesterov, b.arenas(), b.sent, b.wire.span(), nullptr);
  });
}
void ErrorFeedback36(benchmark::State& state) {
  Run(state, 36, [](Buffers& b) {
    ErrorFeedback<float>(kScalars, b.arenas(), b.sent, b.wire.span(), nullptr);
  });
}
void QsparseStep32(benchmark::State& state) {
  Run(state, 32, [](Buffers& b) {
    QsparseStep<float>(kScalars, MomentumRule::kNesterov, b.arenas(), b.sent, b.wire.span(),
                       nullptr);
  });
}
BENCHMARK(Copy);
BENCHMARK(LocalStep20);
BENCHMARK(SplitStep28);
BENCHMARK(ErrorFeedback36);
BENCHMARK(QsparseStep32);

}  // namespace
}  // namespace orchard::sync

BENCHMARK_MAIN();
