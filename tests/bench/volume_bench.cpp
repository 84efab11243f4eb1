// Voxels per second of distances (one thread), components, resizing, export and metrics (two
// threads).
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

#include "volume/components.h"
#include "volume/distance.h"
#include "volume/label_export.h"
#include "volume/metrics.h"
#include "volume/resize.h"

namespace orchard::volume {
namespace {

using Labels = std::vector<uint16_t>;

constexpr int64_t kSide = 256;  // of cubes

// scripts/bench.d/siamese makes the same volumes in Python.
Labels Ball(int64_t n, double radius, double center_i) {
  Labels labels(static_cast<size_t>(n * n * n));
  const double middle = static_cast<double>(n) / 2;
  for (int64_t v = 0; v < n * n * n; ++v) {
    const double x = static_cast<double>(v % n) - center_i;
    const double y = static_cast<double>(v / n % n) - middle;
    const double z = static_cast<double>(v / n / n) - middle;
    labels[static_cast<size_t>(v)] = x * x + y * y + z * z < radius * radius ? 1 : 0;
  }
  return labels;
}
Labels CentralBall(int64_t n) {
  return Ball(n, 0.390625 * static_cast<double>(n), static_cast<double>(n) / 2);
}
Labels Solid(int64_t n) { return Labels(static_cast<size_t>(n * n * n), 1); }
Labels Blocks(int64_t n) {
  Labels labels(static_cast<size_t>(n * n * n));
  for (int64_t v = 0; v < n * n * n; ++v)
    labels[static_cast<size_t>(v)] =
        static_cast<uint16_t>(1 + v % n / 32 + 8 * (v / n % n / 32) + 64 * (v / n / n / 32));
  return labels;
}
Labels Noise(int64_t n) {
  std::mt19937 random(1);
  Labels labels(static_cast<size_t>(n * n * n));
  for (uint16_t& label : labels) label = static_cast<uint16_t>(random() % 3);
  return labels;
}
Labels Seeds(int64_t n) {
  Labels labels = Solid(n);
  std::mt19937 random(2);
  for (int s = 0; s < 2000; ++s) labels[random() % labels.size()] = 0;
  return labels;
}

void Distances(benchmark::State& state, Labels (*make)(int64_t), bool border) {
  const Labels labels = make(kSide);
  constexpr int threads = 1;
  constexpr int64_t n = kSide;
  std::vector<float> squared(labels.size());
  ThreadPool pool(threads);
  for (auto _ : state) {
    SquaredDistances<uint16_t, float>({.size = {n, n, n},
                                       .spacing = {1, 1, 2},
                                       .border = border,
                                       .labels = labels.data(),
                                       .squared = squared.data()},
                                      pool);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(labels.size()));
}

void Metric(benchmark::State& state, int64_t n, double radius, double shift, int threads) {
  const double middle = static_cast<double>(n) / 2;
  const Labels a = Ball(n, radius, middle), b = Ball(n, radius, middle + shift);
  const Region region{"1", {1}};
  ThreadPool pool(threads);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        CompareLabels(a, b, {n, n, n}, {1, 1, 2}, std::span(&region, 1), {}, pool));
}

// Smooth logits: classes whose leaders make compact regions, as a network's do.
std::vector<float> SmoothLogits(int64_t classes, const Size3& size) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform;
  std::vector<float> logits(static_cast<size_t>(classes * Voxels(size)));
  for (int64_t c = 0; c < classes; ++c) {
    const double ci = uniform(random), cj = uniform(random), ck = uniform(random);
    for (int64_t v = 0; v < Voxels(size); ++v) {
      const double x = static_cast<double>(v % size[0]) / static_cast<double>(size[0]) - ci;
      const double y =
          static_cast<double>(v / size[0] % size[1]) / static_cast<double>(size[1]) - cj;
      const double z =
          static_cast<double>(v / size[0] / size[1]) / static_cast<double>(size[2]) - ck;
      logits[static_cast<size_t>(c * Voxels(size) + v)] =
          static_cast<float>(-x * x - y * y - z * z);
    }
  }
  return logits;
}

void Export(benchmark::State& state, const Size3& from, const Size3& to, bool shortcut) {
  constexpr int64_t classes = 20;
  constexpr int threads = 2;
  const std::vector<float> logits = SmoothLogits(classes, from);
  LabelExportArgs args{.classes = classes, .size = to, .shortcut = shortcut};
  for (size_t a = 0; a < 3; ++a) args.axes[a] = StretchedAxis(from[a], to[a]);
  std::vector<uint8_t> labels(static_cast<size_t>(Voxels(to)));
  ThreadPool pool(threads);
  double share = 0;
  for (auto _ : state) {
    LabelExporter<uint8_t> exporter(args, labels.data(), pool);
    exporter.Feed(0, from[2], logits.data(), Voxels(from));
    share = exporter.InterpolatedShare();
  }
  state.counters["interpolated"] = share;
}

void FindAll(benchmark::State& state, Labels (*make)(int64_t), int threads) {
  const Labels labels = make(kSide);
  constexpr int64_t n = kSide;
  ThreadPool pool(threads);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        FindComponents(std::span<const uint16_t>(labels), {n, n, n}, Connectivity::k26, pool));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(labels.size()));
}

void Cubic(benchmark::State& state, int threads) {
  const Size3 from = {160, 160, 100}, to = {200, 200, 130};
  std::mt19937 random(4);
  std::vector<float> image(static_cast<size_t>(Voxels(from)));
  for (float& v : image) v = static_cast<float>(random() % 1000);
  constexpr Interpolation3 kHow = {Interpolation::kCubic, Interpolation::kCubic,
                                   Interpolation::kCubic};
  ThreadPool pool(threads);
  for (auto _ : state) benchmark::DoNotOptimize(Resize(image, from, to, kHow, pool));
}

BENCHMARK_CAPTURE(Distances, solid_with_border, Solid, true)->UseRealTime();
BENCHMARK_CAPTURE(Distances, ball, CentralBall, false)->UseRealTime();
BENCHMARK_CAPTURE(Distances, blocks_with_border, Blocks, true)->UseRealTime();
BENCHMARK_CAPTURE(Distances, noise_with_border, Noise, true)->UseRealTime();
BENCHMARK_CAPTURE(Distances, seeds, Seeds, false)->UseRealTime();
BENCHMARK_CAPTURE(Metric, small, 48, 16, 2, 2)->UseRealTime();
BENCHMARK_CAPTURE(Metric, large, 256, 90, 5, 2)->UseRealTime();
BENCHMARK_CAPTURE(FindAll, noise, Noise, 2)->UseRealTime();
BENCHMARK_CAPTURE(FindAll, ball, CentralBall, 2)->UseRealTime();
BENCHMARK_CAPTURE(Cubic, cubic, 2)->UseRealTime();
BENCHMARK_CAPTURE(Export, small, Size3{96, 96, 80}, Size3{256, 256, 215}, true)->UseRealTime();
BENCHMARK_CAPTURE(Export, small_everywhere, Size3{96, 96, 80}, Size3{256, 256, 215}, false)
    ->UseRealTime();

}  // namespace
}  // namespace orchard::volume

BENCHMARK_MAIN();
