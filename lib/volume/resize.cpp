#include "volume/resize.h"

#include <cmath>

#include "base/error.h"
#include "base/simd.h"
#include "volume/resample_element.h"
#include "volume/sampling.h"

namespace orchard::volume {
namespace {

constexpr int kLines = 16;  // resampled side by side
constexpr int64_t kPad =
    12;  // voxels by which a line is continued: the spline forgets 0.27 a voxel

// Where output o takes its inputs: taps [4] beginning at `first`, an index into the padded line.
struct Taps {
  int64_t first;
  double weight[4];
};

std::vector<Taps> TapsOf(int64_t from, int64_t to, Interpolation interpolation) {
  std::vector<Taps> taps(static_cast<size_t>(to));
  for (int64_t o = 0; o < to; ++o) {
    Taps& t = taps[static_cast<size_t>(o)];
    const double at =
        (static_cast<double>(o) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    if (interpolation == Interpolation::kCubic) {
      const double low = std::floor(at);
      t.first = static_cast<int64_t>(low) - 1 + kPad;
      CubicWeights(at - low, t.weight);
      continue;
    }
    const double inside = std::clamp(at, 0.0, static_cast<double>(from - 1));
    const double low = std::floor(inside);
    double weight = inside - low;
    if (interpolation == Interpolation::kNearest) weight = weight >= 0.5 ? 1 : 0;
    t.first = static_cast<int64_t>(low) + kPad;
    t.weight[0] = 1 - weight;
    t.weight[1] = weight;
    t.weight[2] = t.weight[3] = 0;
  }
  return taps;
}

// The coefficients of the interpolating cubic B-spline of kLines lines side by side, in place. The
// first and last coefficients are those of a line that continues as it begins and ends.
ORCHARD_SIMD void Prefilter(double* line, int64_t length) {
  constexpr double kPole = -0.26794919243112270647;  // sqrt(3) - 2
  double carry[kLines];
#pragma omp simd
  for (int l = 0; l < kLines; ++l) carry[l] = line[l] / (1 - kPole);
  for (int64_t x = 0; x < length; ++x) {
    double* const row = line + x * kLines;
#pragma omp simd
    for (int l = 0; l < kLines; ++l) {
      carry[l] = x == 0 ? carry[l] : row[l] + kPole * carry[l];
      row[l] = carry[l];
    }
  }
  // A constant signal s has the causal values s / (1 - p) and the coefficients s; the sixth is
  // multiplied in below.
  for (int64_t x = length - 1; x >= 0; --x) {
    double* const row = line + x * kLines;
    const bool last = x == length - 1;
#pragma omp simd
    for (int l = 0; l < kLines; ++l) {
      carry[l] = last ? row[l] * ((1 - kPole) / 6) : kPole * (carry[l] - row[l]);
      row[l] = 6 * carry[l];
    }
  }
}

ORCHARD_SIMD void ApplyTaps(const double* line, const Taps& taps, double* out) {
  const double* const row = line + taps.first * kLines;
#pragma omp simd
  for (int l = 0; l < kLines; ++l) {
    out[l] = taps.weight[0] * row[l] + taps.weight[1] * row[kLines + l] +
             taps.weight[2] * row[2 * kLines + l] + taps.weight[3] * row[3 * kLines + l];
  }
}

// Calls `work(line, store)` for kLines lines at a time along the middle axis of values [outer,
// from, inner]: `line` holds them side by side, continued by kPad at both ends, and store(o, out)
// puts kLines results where output o of each line goes, in a tensor [outer, to, inner].
template <class Work>
void ForLines(std::span<const float> values, int64_t outer, int64_t from, int64_t inner, int64_t to,
              float* result, ThreadPool& pool, const Work& work) {
  const int64_t lines = outer * inner;
  constexpr int64_t kBlocks = 8;  // of lines, in one task
  pool.ForEach((lines + kLines * kBlocks - 1) / (kLines * kBlocks), [&](int64_t task) {
    std::vector<double> line(static_cast<size_t>((from + 2 * kPad) * kLines));
    for (int64_t block = 0; block < kBlocks; ++block) {
      const int64_t first = (task * kBlocks + block) * kLines;
      const int64_t count = std::min<int64_t>(kLines, lines - first);
      if (count <= 0) return;
      int64_t source[kLines], target[kLines];
      for (int64_t l = 0; l < kLines; ++l) {
        const int64_t number = first + std::min(l, count - 1);
        source[l] = number / inner * from * inner + number % inner;
        target[l] = number / inner * to * inner + number % inner;
      }
      for (int64_t x = -kPad; x < from + kPad; ++x) {
        const int64_t at = std::clamp<int64_t>(x, 0, from - 1) * inner;
        double* const row = line.data() + (x + kPad) * kLines;
        for (int64_t l = 0; l < kLines; ++l)
          row[l] = static_cast<double>(values[static_cast<size_t>(source[l] + at)]);
      }
      work(line.data(), [&](int64_t o, const double* out) {
        for (int64_t l = 0; l < count; ++l)
          result[target[l] + o * inner] = static_cast<float>(out[l]);
      });
    }
  });
}

// An axis of `size` as [outer, size[axis], inner].
struct AxisView {
  int64_t outer, inner;
  AxisView(const Size3& size, size_t axis)
      : inner(axis == 0   ? 1
              : axis == 1 ? size[0]
                          : size[0] * size[1]) {
    outer = Voxels(size) / inner / size[axis];
  }
};

void CheckSizes(size_t values, const Size3& from, const Size3& to) {
  if (static_cast<int64_t>(values) != Voxels(from) || Voxels(from) < 1)
    throw UsageError("values and size disagree", "resizing");
  for (int64_t n : to)
    if (n < 1) throw UsageError("an axis without voxels", "resizing");
}

// The labels of the corners of a cell and their weights, equal labels summed.
template <class L>
L HeaviestLabel(const L (&labels)[8], const float (&weights)[8]) {
  L best = labels[0];
  float most = -1;
  for (int a = 0; a < 8; ++a) {
    float sum = 0;
    for (int b = 0; b < 8; ++b) sum += labels[b] == labels[a] ? weights[b] : 0;
    if (sum > most || (sum == most && labels[a] < best)) {
      most = sum;
      best = labels[a];
    }
  }
  return best;
}

}  // namespace

std::vector<float> Resize(std::span<const float> values, const Size3& from, const Size3& to,
                          const Interpolation3& interpolation, ThreadPool& pool) {
  CheckSizes(values.size(), from, to);
  std::vector<float> result(values.begin(), values.end());
  Size3 size = from;
  for (size_t a = 0; a < 3; ++a) {
    if (size[a] == to[a]) continue;  // centres coincide, and every kernel here interpolates
    const AxisView view(size, a);
    const int64_t length = size[a];
    const std::vector<Taps> taps = TapsOf(length, to[a], interpolation[a]);
    std::vector<float> resized(static_cast<size_t>(Voxels(size) / length * to[a]));
    ForLines(result, view.outer, length, view.inner, to[a], resized.data(), pool,
             [&](double* line, const auto& store) {
               if (interpolation[a] == Interpolation::kCubic) Prefilter(line, length + 2 * kPad);
               double out[kLines];
               for (int64_t o = 0; o < to[a]; ++o) {
                 ApplyTaps(line, taps[static_cast<size_t>(o)], out);
                 store(o, out);
               }
             });
    result = std::move(resized);
    size[a] = to[a];
  }
  return result;
}

std::vector<float> CubicCoefficients(std::span<const float> values, const Size3& size,
                                     ThreadPool& pool) {
  CheckSizes(values.size(), size, size);
  std::vector<float> result(values.begin(), values.end());
  for (size_t a = 0; a < 3; ++a) {
    const AxisView view(size, a);
    std::vector<float> filtered(result.size());
    ForLines(result, view.outer, size[a], view.inner, size[a], filtered.data(), pool,
             [&](double* line, const auto& store) {
               Prefilter(line, size[a] + 2 * kPad);
               for (int64_t o = 0; o < size[a]; ++o) store(o, line + (o + kPad) * kLines);
             });
    result = std::move(filtered);
  }
  return result;
}

template <class L>
std::vector<L> ResizeLabels(std::span<const L> labels, const Size3& from, const Size3& to,
                            const Interpolation3& interpolation, ThreadPool& pool) {
  CheckSizes(labels.size(), from, to);
  std::array<LinearAxis, 3> axes;
  for (size_t a = 0; a < 3; ++a) {
    axes[a] = interpolation[a] == Interpolation::kNearest ? NearestAxis(from[a], to[a])
                                                          : StretchedAxis(from[a], to[a]);
  }
  std::vector<L> result(static_cast<size_t>(Voxels(to)));
  const int64_t right = from[0] > 1 ? 1 : 0, up = from[1] > 1 ? from[0] : 0;
  const int64_t above = from[2] > 1 ? from[0] * from[1] : 0;
  pool.ForEach(to[1] * to[2], [&](int64_t row) {
    const auto j = static_cast<size_t>(row % to[1]), k = static_cast<size_t>(row / to[1]);
    const L* const line = labels.data() + IndexOf(from, 0, axes[1].low[j], axes[2].low[k]);
    const float wj = axes[1].weight[j], wk = axes[2].weight[k];
    const float outer[4] = {(1 - wk) * (1 - wj), (1 - wk) * wj, wk * (1 - wj), wk * wj};
    for (int64_t i = 0; i < to[0]; ++i) {
      const L* const at = line + axes[0].low[static_cast<size_t>(i)];
      const float wi = axes[0].weight[static_cast<size_t>(i)];
      const L corners[8] = {at[0],     at[right],         at[up],         at[up + right],
                            at[above], at[above + right], at[above + up], at[above + up + right]};
      bool equal = true;
      for (int c = 1; c < 8; ++c) equal = equal && corners[c] == corners[0];
      if (equal) {
        result[static_cast<size_t>(row * to[0] + i)] = corners[0];
        continue;
      }
      float weights[8];
      for (int c = 0; c < 8; ++c) weights[c] = outer[c / 2] * (c % 2 == 0 ? 1 - wi : wi);
      result[static_cast<size_t>(row * to[0] + i)] = HeaviestLabel(corners, weights);
    }
  });
  return result;
}

template std::vector<uint8_t> ResizeLabels(std::span<const uint8_t>, const Size3&, const Size3&,
                                           const Interpolation3&, ThreadPool&);
template std::vector<uint16_t> ResizeLabels(std::span<const uint16_t>, const Size3&, const Size3&,
                                            const Interpolation3&, ThreadPool&);

}  // namespace orchard::volume
