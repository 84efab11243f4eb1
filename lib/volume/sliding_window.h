// Predicting a large volume window by window: where the windows lie, how they are cut out, and how
// what a network says of each is put together.
//
// Windows overlap by half, and each counts by a Gaussian around its centre. Gaussian and grid are
// products over the axes, so the sum of weights is one, too: three short arrays instead of a
// volume. The weight is exp(-((x - patch/2) / (patch/8))^2 / 2) along each axis, at least 3e-4
// there and 4e-11 in a corner, so nothing is divided by zero in f32 and no floor is needed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "volume/shape.h"

namespace orchard::volume {

// Where windows of `patch` voxels begin on an axis of `size`: n = ceil((size - patch) /
// (patch * step)) + 1 of them, at round(i (size - patch) / (n - 1)), halves to even, as in nnU-Net;
// steps are at least a voxel.
// A window longer than the axis is centred on it: one start, below zero.
std::vector<int64_t> WindowStarts(int64_t size, int64_t patch, double step);

// The weights of a window along one axis; the largest, at patch / 2, is 1.
std::vector<float> GaussianWeights(int64_t patch);

// For every voxel of an axis the sum of the weights of the windows over it.
std::vector<float> WeightSums(const std::vector<int64_t>& starts, const std::vector<float>& weights,
                              int64_t size);

// The windows of a volume: the product of those of its axes, the one along k slowest.
struct WindowGrid {
  Size3 size = {0, 0, 0}, patch = {0, 0, 0};
  std::array<std::vector<int64_t>, 3> starts;

  // Throws UsageError for empty sizes and a step outside (0, 1].
  WindowGrid(const Size3& size, const Size3& patch, double step = 0.5);
  int64_t count() const;
  Size3 Start(int64_t window) const;
};

// Copies a window of `image` [channels, size] into `patch_values` [channels, patch]. Voxels outside
// the image are `outside`.
void GatherPatch(const float* image, int64_t channels, const Size3& size, const Size3& patch,
                 const Size3& start, float outside, float* patch_values);

// Weighted means of overlapping windows, in slabs: planes that no later window touches leave at
// once, so that memory is channels * patch[2] planes whatever the length of the volume.
class WindowSum {
 public:
  // Receives planes [first, first + count) of all channels as [channels, count, J, I].
  using Sink = std::function<void(int64_t first, int64_t count, const float* planes)>;

  WindowSum(const WindowGrid& grid, int64_t channels, ThreadPool& pool, Sink sink);

  // Adds what was computed for the next window, in the order of the grid: [channels, patch].
  // After the last one, all planes have gone to the sink.
  void Add(const float* values);

  // Bytes held at the same time.
  int64_t MemoryBytes() const;

 private:
  void Flush(int64_t until);

  WindowGrid grid_;
  int64_t channels_, next_ = 0;
  int64_t base_ = 0;   // the first plane in `sum_`
  int64_t depth_ = 0;  // planes in `sum_`
  std::array<std::vector<float>, 3> weights_, inverse_;
  std::vector<float> sum_, out_;
  ThreadPool& pool_;
  Sink sink_;
};

}  // namespace orchard::volume
