#include "volume/sliding_window.h"

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/simd.h"
#include "volume/window_element.h"

namespace orchard::volume {
namespace {

// sum[i] += weight * weights[i] * values[i]
ORCHARD_SIMD void AddRow(const float* values, const float* weights, float weight, int64_t count,
                         float* sum) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sum[i] = AddWeighted(sum[i], values[i], weights[i], weight);
}

ORCHARD_SIMD void ScaleRow(const float* sum, const float* factors, float factor, int64_t count,
                           float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = NormalizeWeighted(sum[i], factors[i], factor);
}

// The part of a window along one axis that lies in the volume.
struct Overlap {
  int64_t in_window, in_volume, count;

  Overlap(int64_t start, int64_t patch, int64_t size)
      : in_window(std::max<int64_t>(0, -start)),
        in_volume(std::max<int64_t>(0, start)),
        count(std::min(start + patch, size) - in_volume) {}
};

}  // namespace

std::vector<int64_t> WindowStarts(int64_t size, int64_t patch, double step) {
  if (patch >= size) return {-((patch - size) / 2)};
  const auto span = static_cast<double>(size - patch);
  const auto count =
      static_cast<int64_t>(std::ceil(span / std::max(1.0, static_cast<double>(patch) * step))) + 1;
  std::vector<int64_t> starts(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    starts[static_cast<size_t>(i)] = static_cast<int64_t>(
        std::nearbyint(static_cast<double>(i) * (span / static_cast<double>(count - 1))));
  }
  return starts;
}

std::vector<float> GaussianWeights(int64_t patch) {
  std::vector<float> weights(static_cast<size_t>(patch));
  const double sigma = static_cast<double>(patch) / 8;
  const int64_t center = patch / 2;
  for (int64_t i = 0; i < patch; ++i) {
    const double x = static_cast<double>(i - center) / sigma;
    weights[static_cast<size_t>(i)] = static_cast<float>(std::exp(-0.5 * x * x));
  }
  return weights;
}

std::vector<float> WeightSums(const std::vector<int64_t>& starts, const std::vector<float>& weights,
                              int64_t size) {
  std::vector<float> sums(static_cast<size_t>(size), 0);
  for (int64_t start : starts) {
    const Overlap o(start, static_cast<int64_t>(weights.size()), size);
    for (int64_t i = 0; i < o.count; ++i)
      sums[static_cast<size_t>(o.in_volume + i)] += weights[static_cast<size_t>(o.in_window + i)];
  }
  return sums;
}

WindowGrid::WindowGrid(const Size3& the_size, const Size3& the_patch, double step)
    : size(the_size), patch(the_patch) {
  if (step <= 0 || step > 1) throw UsageError("the step is not in (0, 1]", "windows");
  for (size_t a = 0; a < 3; ++a) {
    if (size[a] < 1 || patch[a] < 1) throw UsageError("an empty volume or window", "windows");
    starts[a] = WindowStarts(size[a], patch[a], step);
  }
}

int64_t WindowGrid::count() const {
  return static_cast<int64_t>(starts[0].size() * starts[1].size() * starts[2].size());
}

Size3 WindowGrid::Start(int64_t window) const {
  const auto ni = static_cast<int64_t>(starts[0].size()),
             nj = static_cast<int64_t>(starts[1].size());
  return {starts[0][static_cast<size_t>(window % ni)],
          starts[1][static_cast<size_t>(window / ni % nj)],
          starts[2][static_cast<size_t>(window / ni / nj)]};
}

void GatherPatch(const float* image, int64_t channels, const Size3& size, const Size3& patch,
                 const Size3& start, float outside, float* patch_values) {
  const Overlap x(start[0], patch[0], size[0]);
  const int64_t planes = channels * patch[2];
  for (int64_t p = 0; p < planes; ++p) {
    const int64_t c = p / patch[2], k = start[2] + p % patch[2];
    for (int64_t j = 0; j < patch[1]; ++j) {
      float* const row = patch_values + (p * patch[1] + j) * patch[0];
      const int64_t y = start[1] + j;
      if (k < 0 || k >= size[2] || y < 0 || y >= size[1] || x.count <= 0) {
        std::fill(row, row + patch[0], outside);
        continue;
      }
      std::fill(row, row + x.in_window, outside);
      std::memcpy(row + x.in_window, image + c * Voxels(size) + IndexOf(size, x.in_volume, y, k),
                  static_cast<size_t>(x.count) * sizeof(float));
      std::fill(row + x.in_window + x.count, row + patch[0], outside);
    }
  }
}

WindowSum::WindowSum(const WindowGrid& grid, int64_t channels, ThreadPool& pool, Sink sink)
    : grid_(grid), channels_(channels), pool_(pool), sink_(std::move(sink)) {
  for (size_t a = 0; a < 3; ++a) {
    weights_[a] = GaussianWeights(grid_.patch[a]);
    inverse_[a] = WeightSums(grid_.starts[a], weights_[a], grid_.size[a]);
    for (float& sum : inverse_[a]) sum = 1 / sum;
  }
  depth_ = std::min(grid_.patch[2], grid_.size[2]);
  sum_.assign(static_cast<size_t>(channels_ * depth_ * grid_.size[0] * grid_.size[1]), 0);
}

int64_t WindowSum::MemoryBytes() const {
  return static_cast<int64_t>((sum_.size() + out_.size()) * sizeof(float));
}

void WindowSum::Add(const float* values) {
  if (next_ >= grid_.count()) throw UsageError("more windows than the grid has", "windows");
  const Size3 start = grid_.Start(next_);
  Flush(std::max<int64_t>(0, start[2]));
  const Overlap x(start[0], grid_.patch[0], grid_.size[0]);
  const Overlap y(start[1], grid_.patch[1], grid_.size[1]);
  const Overlap z(start[2], grid_.patch[2], grid_.size[2]);
  const int64_t plane = grid_.size[0] * grid_.size[1];
  pool_.ForEach(channels_ * z.count, [&](int64_t task) {
    const int64_t c = task / z.count, dz = task % z.count;
    const int64_t kw = z.in_window + dz, k = z.in_volume + dz - base_;
    for (int64_t dy = 0; dy < y.count; ++dy) {
      const int64_t jw = y.in_window + dy;
      const float weight =
          weights_[1][static_cast<size_t>(jw)] * weights_[2][static_cast<size_t>(kw)];
      AddRow(
          values + ((c * grid_.patch[2] + kw) * grid_.patch[1] + jw) * grid_.patch[0] + x.in_window,
          weights_[0].data() + x.in_window, weight, x.count,
          sum_.data() + (c * depth_ + k) * plane + (y.in_volume + dy) * grid_.size[0] +
              x.in_volume);
    }
  });
  if (++next_ == grid_.count()) Flush(grid_.size[2]);
}

// Hands out the planes before `until`, which are complete, and makes room for as many new ones.
void WindowSum::Flush(int64_t until) {
  const int64_t count = until - base_;
  if (count <= 0) return;
  const int64_t plane = grid_.size[0] * grid_.size[1];
  out_.resize(static_cast<size_t>(channels_ * count * plane));
  pool_.ForEach(channels_ * count, [&](int64_t task) {
    const int64_t c = task / count, k = task % count;
    for (int64_t j = 0; j < grid_.size[1]; ++j) {
      const float factor =
          inverse_[1][static_cast<size_t>(j)] * inverse_[2][static_cast<size_t>(base_ + k)];
      ScaleRow(sum_.data() + (c * depth_ + k) * plane + j * grid_.size[0], inverse_[0].data(),
               factor, grid_.size[0], out_.data() + (c * count + k) * plane + j * grid_.size[0]);
    }
  });
  sink_(base_, count, out_.data());
  const auto moved = static_cast<size_t>((depth_ - count) * plane);
  pool_.ForEach(channels_, [&](int64_t c) {
    float* const channel = sum_.data() + c * depth_ * plane;
    std::memmove(channel, channel + count * plane, moved * sizeof(float));
    std::fill(channel + moved, channel + static_cast<size_t>(depth_ * plane), 0.0f);
  });
  base_ = until;
}

}  // namespace orchard::volume
