// Kernels on voxels against their CPU twins.
#include <gtest/gtest.h>

#include <random>

#include "cuda/volume/components.h"
#include "cuda/volume/distance.h"
#include "cuda/volume/label_export.h"
#include "cuda/volume/resample.h"
#include "cuda/volume/sliding_window.h"
#include "cuda/volume/surface_codes.h"
#include "gpu/device_array.h"
#include "volume/components.h"
#include "volume/distance.h"
#include "volume/label_export.h"
#include "volume/resample.h"
#include "volume/sliding_window.h"

namespace orchard::volume {
namespace {

using VolumeKernels = gpu::DeviceTest;
using gpu::DeviceArray;

constexpr Size3 kSize = {67, 45, 38};

std::vector<uint16_t> Labels(unsigned seed, unsigned rare) {
  std::mt19937 random(seed);
  std::vector<uint16_t> labels(static_cast<size_t>(Voxels(kSize)), 1);
  for (uint16_t& label : labels)
    if (random() % rare == 0) label = static_cast<uint16_t>(random() % 4);
  return labels;
}

std::vector<float> Noise(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

TEST_F(VolumeKernels, SquaredDistancesAgreeToRounding) {
  ThreadPool pool(2);
  for (unsigned rare : {2u, 50u, 20000u}) {
    for (bool border : {false, true}) {
      const std::vector<uint16_t> labels = Labels(rare, rare);
      std::vector<double> expected(labels.size());
      DistanceArgs<uint16_t, double> args{
          .size = kSize, .spacing = {0.8, 1.1, 3}, .border = border};
      args.labels = labels.data();
      args.squared = expected.data();
      SquaredDistances(args, pool);
      const DeviceArray<uint16_t> device_labels(labels);
      const DeviceArray<double> squared(Voxels(kSize)), scratch(Voxels(kSize));
      args.labels = device_labels.data();
      args.squared = squared.data();
      cuda::SquaredDistances(args, scratch.data(), nullptr);
      const std::vector<double> found = squared.Host();
      for (size_t v = 0; v < found.size(); ++v) {
        if (found[v] != expected[v]) {
          ASSERT_NEAR(found[v], expected[v], 1e-12 * expected[v]);
        }
      }
    }
  }
}

TEST_F(VolumeKernels, FindComponentsFindsTheSameOnes) {
  ThreadPool pool(2);
  const std::vector<uint16_t> labels = Labels(7, 1);
  const DeviceArray<uint16_t> device_labels(labels);
  for (int connectivity : {6, 18, 26}) {
    const Components expected = FindComponents(std::span<const uint16_t>(labels), kSize,
                                               static_cast<Connectivity>(connectivity), pool);
    const DeviceArray<int32_t> root(Voxels(kSize));
    cuda::FindComponents({.size = {kSize[0], kSize[1], kSize[2]},
                          .connectivity = connectivity,
                          .labels = device_labels.data(),
                          .root = root.data()},
                         nullptr);
    const std::vector<int32_t> found = root.Host();
    for (size_t v = 0; v < found.size(); ++v) {
      const int32_t id = expected.id[v];
      ASSERT_EQ(found[v], id == 0 ? -1 : expected.list[static_cast<size_t>(id - 1)].first);
    }
  }
}

TEST_F(VolumeKernels, ExportLabelsGivesTheSameLabels) {
  const Size3 from = {19, 14, 11}, to = {61, 47, 20};
  constexpr int64_t kClasses = 13;
  const std::vector<float> logits = Noise(kClasses * Voxels(from), 3);
  LabelExportArgs args{.classes = kClasses, .size = to};
  for (size_t a = 0; a < 3; ++a) args.axes[a] = StretchedAxis(from[a], to[a]);
  std::vector<uint16_t> expected(static_cast<size_t>(Voxels(to)));
  ThreadPool pool(2);
  ExportLabels(args, logits.data(), expected.data(), pool);

  const DeviceArray<float> device_logits(logits);
  const DeviceArray<uint16_t> leader(Voxels(from)), labels(Voxels(to));
  const DeviceArray<int32_t> low[3] = {DeviceArray<int32_t>(args.axes[0].low),
                                       DeviceArray<int32_t>(args.axes[1].low),
                                       DeviceArray<int32_t>(args.axes[2].low)};
  const DeviceArray<float> weight[3] = {DeviceArray<float>(args.axes[0].weight),
                                        DeviceArray<float>(args.axes[1].weight),
                                        DeviceArray<float>(args.axes[2].weight)};
  cuda::LabelExportArgs device{.classes = kClasses};
  for (size_t a = 0; a < 3; ++a) {
    device.from[a] = from[a];
    device.to[a] = to[a];
    device.low[a] = low[a].data();
    device.weight[a] = weight[a].data();
  }
  device.logits = device_logits.data();
  device.leader = leader.data();
  device.labels = labels.data();
  cuda::ExportLabels(device, nullptr);
  EXPECT_EQ(labels.Host(), expected);
}

TEST_F(VolumeKernels, ResampleGivesTheSameBits) {
  const Size3 from = {23, 17, 12}, to = {31, 20, 15};
  const std::vector<float> source = Noise(2 * Voxels(from), 4);
  const DeviceArray<float> device_source(source);
  ThreadPool pool(2);
  for (Interpolation how :
       {Interpolation::kNearest, Interpolation::kLinear, Interpolation::kCubic}) {
    for (bool edges : {false, true}) {
      ResampleArgs args{.channels = 2, .from = from, .to = to, .interpolation = how, .outside = -3};
      args.map = {{{0.7f, 0.1f, 0, -1}, {-0.1f, 0.8f, 0.05f, 0.3f}, {0, 0.02f, 0.9f, -0.6f}}};
      args.continue_edges = edges;
      std::vector<float> expected(static_cast<size_t>(2 * Voxels(to)));
      args.source = source.data();
      args.result = expected.data();
      Resample(args, pool);
      const DeviceArray<float> result(2 * Voxels(to));
      args.source = device_source.data();
      args.result = result.data();
      cuda::Resample(args, nullptr);
      EXPECT_EQ(result.Host(), expected);
    }
  }
}

TEST_F(VolumeKernels, WindowsAddUpToTheSameBits) {
  const WindowGrid grid({30, 21, 17}, {12, 8, 20});
  const std::vector<float> image = Noise(2 * Voxels(grid.size), 5);
  ThreadPool pool(2);
  std::vector<float> expected(image.size());
  WindowSum sum(grid, 2, pool, [&](int64_t first, int64_t count, const float* planes) {
    const int64_t plane = grid.size[0] * grid.size[1];
    for (int64_t c = 0; c < 2; ++c)
      std::copy(planes + c * count * plane, planes + (c + 1) * count * plane,
                expected.begin() + (c * grid.size[2] + first) * plane);
  });
  const DeviceArray<float> device_image(image), window(2 * Voxels(grid.patch));
  const DeviceArray<float> total(std::vector<float>(image.size(), 0.0f));
  const DeviceArray<float> weights[3] = {DeviceArray<float>(GaussianWeights(grid.patch[0])),
                                         DeviceArray<float>(GaussianWeights(grid.patch[1])),
                                         DeviceArray<float>(GaussianWeights(grid.patch[2]))};
  const auto inverse_of = [&](size_t a) {
    std::vector<float> sums =
        WeightSums(grid.starts[a], GaussianWeights(grid.patch[a]), grid.size[a]);
    for (float& s : sums) s = 1 / s;
    return sums;
  };
  const DeviceArray<float> inverse[3] = {DeviceArray<float>(inverse_of(0)),
                                         DeviceArray<float>(inverse_of(1)),
                                         DeviceArray<float>(inverse_of(2))};
  std::vector<float> patch(static_cast<size_t>(2 * Voxels(grid.patch)));
  for (int64_t w = 0; w < grid.count(); ++w) {
    const Size3 start = grid.Start(w);
    GatherPatch(image.data(), 2, grid.size, grid.patch, start, 9, patch.data());
    cuda::WindowArgs args{.channels = 2, .outside = 9};
    for (size_t a = 0; a < 3; ++a) {
      args.size[a] = grid.size[a];
      args.patch[a] = grid.patch[a];
      args.start[a] = start[a];
      args.weights[a] = weights[a].data();
    }
    args.volume = device_image.data();
    args.window = window.data();
    cuda::GatherWindow(args, nullptr);
    ASSERT_EQ(window.Host(), patch);
    args.volume = total.data();
    cuda::AddWindow(args, nullptr);
    sum.Add(patch.data());
  }
  cuda::NormalizeArgs normalize{.channels = 2};
  for (size_t a = 0; a < 3; ++a) {
    normalize.size[a] = grid.size[a];
    normalize.inverse[a] = inverse[a].data();
  }
  normalize.volume = total.data();
  cuda::NormalizeWindows(normalize, nullptr);
  EXPECT_EQ(total.Host(), expected);
}

TEST_F(VolumeKernels, SurfaceCodesAreThoseOfTheEightVoxels) {
  const std::vector<uint16_t> labels = Labels(9, 3);
  std::vector<uint8_t> mask(labels.size());
  for (size_t v = 0; v < mask.size(); ++v) mask[v] = labels[v] == 1 ? 1 : 0;
  const Size3 lattice = {kSize[0] + 1, kSize[1] + 1, kSize[2] + 1};
  const DeviceArray<uint8_t> device_mask(mask), codes(Voxels(lattice)), elsewhere(Voxels(lattice));
  cuda::SurfaceCodes({.size = {kSize[0], kSize[1], kSize[2]},
                      .mask = device_mask.data(),
                      .codes = codes.data(),
                      .elsewhere = elsewhere.data()},
                     nullptr);
  const std::vector<uint8_t> found = codes.Host(), flags = elsewhere.Host();
  for (int64_t v = 0; v < Voxels(lattice); ++v) {
    const int64_t i = v % lattice[0], j = v / lattice[0] % lattice[1],
                  k = v / lattice[0] / lattice[1];
    unsigned code = 0;
    for (unsigned bit = 0; bit < 8; ++bit) {
      const int64_t x = i - 1 + (bit & 1), y = j - 1 + (bit >> 1 & 1), z = k - 1 + (bit >> 2);
      const bool inside =
          x >= 0 && y >= 0 && z >= 0 && x < kSize[0] && y < kSize[1] && z < kSize[2];
      if (inside && mask[static_cast<size_t>(IndexOf(kSize, x, y, z))] != 0) code |= 1u << bit;
    }
    ASSERT_EQ(found[static_cast<size_t>(v)], code);
    ASSERT_EQ(flags[static_cast<size_t>(v)], code == 0 || code == 255 ? 1 : 0);
  }
}

}  // namespace
}  // namespace orchard::volume
