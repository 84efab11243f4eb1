// Windows, their sums and the label map on the device, against the CPU: the same bits.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "gpu/device_array.h"
#include "volume/device_windows.h"

namespace orchard::volume {
namespace {

using gpu::DeviceArray;
using DeviceWindows = gpu::DeviceTest;

std::vector<float> Noise(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

struct Case {
  Size3 size, patch;
};
// Several slabs; a patch longer than the volume on some axes; slices; a single window.
const Case kCases[] = {{{37, 29, 41}, {16, 12, 10}},
                       {{9, 30, 7}, {16, 16, 16}},
                       {{20, 21, 6}, {16, 16, 1}},
                       {{8, 8, 8}, {8, 8, 8}},
                       {{12, 10, 1}, {8, 8, 1}}};

TEST_F(DeviceWindows, AreCutOutAsOnTheCpu) {
  for (const Case& c : kCases) {
    const std::vector<float> image = Noise(2 * Voxels(c.size), 1);
    const DeviceImage device(image.data(), 2, c.size, {});
    const WindowGrid grid(c.size, c.patch);
    for (int64_t n = 0; n < grid.count(); ++n) {
      std::vector<float> expected(static_cast<size_t>(2 * Voxels(c.patch)));
      GatherPatch(image.data(), 2, c.size, c.patch, grid.Start(n), 0, expected.data());
      const DeviceArray<float> window(std::ssize(expected));
      device.Gather(c.patch, grid.Start(n), window.data());
      ASSERT_EQ(window.Host(), expected) << n;
    }
  }
}

TEST_F(DeviceWindows, AddUpAsOnTheCpu) {
  constexpr int64_t kChannels = 3;
  ThreadPool pool(2);
  for (const Case& c : kCases) {
    const WindowGrid grid(c.size, c.patch);
    std::vector<std::pair<int64_t, std::vector<float>>> expected, found;
    const int64_t plane = c.size[0] * c.size[1];
    WindowSum sum(grid, kChannels, pool, [&](int64_t first, int64_t count, const float* planes) {
      expected.emplace_back(first, std::vector(planes, planes + kChannels * count * plane));
    });
    DeviceWindowSum device(
        grid, kChannels, {}, [&](int64_t first, int64_t count, const float* planes) {
          std::vector<float> host(static_cast<size_t>(kChannels * count * plane));
          gpu::CheckCuda(cudaMemcpy(host.data(), planes, host.size() * 4, cudaMemcpyDeviceToHost),
                         "cudaMemcpy");
          found.emplace_back(first, std::move(host));
        });
    for (int64_t n = 0; n < grid.count(); ++n) {
      const std::vector<float> logits =
          Noise(kChannels * Voxels(c.patch), static_cast<unsigned>(n));
      sum.Add(logits.data());
      const DeviceArray<float> on_device(logits);
      device.Add(on_device.data());
    }
    EXPECT_EQ(found, expected);
  }
}

TEST_F(DeviceWindows, BecomeTheSameLabelsInAnyPortions) {
  constexpr int64_t kClasses = 5;
  ThreadPool pool(2);
  for (const Size3& from : {Size3{11, 9, 13}, Size3{10, 8, 1}, Size3{1, 1, 5}}) {
    const Size3 region = {23, 17, from[2] == 1 ? 3 : 21};
    LabelExportArgs args;
    args.classes = kClasses;
    args.size = {region[0] + 3, region[1] + 4, region[2] + 5};
    args.at = {1, 2, 3};
    for (size_t a = 0; a < 3; ++a) args.axes[a] = StretchedAxis(from[a], region[a]);
    const std::vector<float> logits = Noise(kClasses * Voxels(from), 5);
    std::vector<uint8_t> expected(static_cast<size_t>(Voxels(args.size)), 77);
    ExportLabels(args, logits.data(), expected.data(), pool);
    const int64_t plane = from[0] * from[1];
    for (const int64_t portion : {int64_t{1}, int64_t{4}, from[2]}) {
      std::vector<uint8_t> found(expected.size(), 77);
      DeviceLabelExporter exporter(args, found.data(), {});
      for (int64_t k = 0; k < from[2]; k += portion) {
        const int64_t count = std::min(portion, from[2] - k);
        std::vector<float> planes;
        for (int64_t c = 0; c < kClasses; ++c) {
          const auto begin = logits.begin() + (c * from[2] + k) * plane;
          planes.insert(planes.end(), begin, begin + count * plane);
        }
        const DeviceArray<float> device(planes);
        exporter.Feed(k, count, device.data());
      }
      EXPECT_EQ(found, expected) << "portion " << portion;
    }
  }
}

}  // namespace
}  // namespace orchard::volume
