#include "segment/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace orchard::segment {
namespace {

using volume::Box;
using volume::Interpolation;
using volume::Interpolation3;
using volume::Size3;
using volume::Spacing3;

void CheckValues(const io::Volume& volume, const std::string& where) {
  const io::ValueRange range = io::FindRange(volume);
  if (range.not_a_number + range.infinite > 0) {
    throw DataError(
        fmt::format("{} values are NaN and {} infinite", range.not_a_number, range.infinite), where,
        "predict and convert put the smallest value there with --fix");
  }
  if (range.min == range.max)
    throw DataError("the image is empty: all its values are alike", where);
}

// Calls `row(offset)` with the first element of every row of `box`.
template <class Row>
void ForRows(const Size3& size, const Box& box, Row&& row) {
  for (int64_t k = box.lo[2]; k < box.hi[2]; ++k)
    for (int64_t j = box.lo[1]; j < box.hi[1]; ++j) row(volume::IndexOf(size, box.lo[0], j, k));
}

template <class T>
std::vector<T> Cut(std::span<const T> values, const Size3& size, const Box& box) {
  std::vector<T> cut;
  cut.reserve(static_cast<size_t>(volume::Voxels(box.size())));
  const auto width = static_cast<size_t>(box.size()[0]);
  ForRows(size, box, [&](int64_t at) {
    const auto row = values.subspan(static_cast<size_t>(at), width);
    cut.insert(cut.end(), row.begin(), row.end());
  });
  return cut;
}

// The smallest box around the voxels with `inside(value)`; empty where there is none.
template <class Inside>
Box BoxOf(std::span<const float> values, const Size3& size, Inside&& inside) {
  Box box{size, {0, 0, 0}};
  size_t at = 0;
  for (int64_t k = 0; k < size[2]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      for (int64_t i = 0; i < size[0]; ++i, ++at) {
        if (!inside(values[at])) continue;
        const Size3 index = {i, j, k};
        for (size_t a = 0; a < 3; ++a) {
          box.lo[a] = std::min(box.lo[a], index[a]);
          box.hi[a] = std::max(box.hi[a], index[a] + 1);
        }
      }
    }
  }
  return box.empty() ? Box{} : box;
}

void ClipAndShift(std::span<float> values, const ChannelScale& scale) {
  const double deviation = std::max(scale.deviation, 1e-8);
  for (float& v : values) {
    const double clipped = std::clamp(static_cast<double>(v), scale.low, scale.high);
    v = static_cast<float>((clipped - scale.mean) / deviation);
  }
}

// Zero mean and unit deviation, of all voxels or of those that are not 0; then the others stay 0.
void Standardise(std::span<float> values, bool nonzero_only) {
  double sum = 0, squares = 0;
  int64_t count = 0;
  for (const float v : values) {
    if (nonzero_only && v == 0) continue;
    sum += v;
    ++count;
  }
  if (count == 0) return;
  const double mean = sum / static_cast<double>(count);
  for (const float v : values) {
    if (nonzero_only && v == 0) continue;
    squares += (v - mean) * (v - mean);
  }
  const double deviation = std::max(std::sqrt(squares / static_cast<double>(count)), 1e-8);
  for (float& v : values) {
    if (nonzero_only && v == 0) continue;
    v = static_cast<float>((v - mean) / deviation);
  }
}

double Anisotropy(const Spacing3& s) {
  return *std::max_element(s.begin(), s.end()) / *std::min_element(s.begin(), s.end());
}

// Spacing after resampling: slices of two-dimensional plans stay where they are.
Spacing3 TargetSpacing(const CaseFrame& frame, const Plan& plan) {
  Spacing3 target = plan.spacing;
  if (plan.dims == 2) target[2] = frame.spacing[2];
  return target;
}

}  // namespace

CroppedScan CropScan(std::span<const io::Volume> channels, const std::string& where) {
  const io::Grid& grid = channels.front().grid;
  CroppedScan scan;
  scan.frame.original = grid;
  scan.frame.canonical = io::ClosestCanonical(grid.affine);
  const io::Grid turned = io::Reorient(grid, scan.frame.canonical);
  scan.frame.whole = turned.size;
  scan.frame.spacing = turned.affine.Spacing();
  Box nonzero;
  for (const io::Volume& channel : channels) {
    if (channel.grid.size != grid.size || !io::MatchGrids(channel.grid, grid)) {
      throw DataError("channels lie on different grids", where);
    }
    CheckValues(channel, where);
    scan.channels.push_back(io::RealValues(io::Reorient(channel, scan.frame.canonical)));
    nonzero =
        nonzero.Union(BoxOf(scan.channels.back(), turned.size, [](float v) { return v != 0; }));
  }
  scan.frame.crop = nonzero;
  if (nonzero.size() != turned.size) {
    for (std::vector<float>& values : scan.channels) {
      values = Cut(std::span<const float>(values), turned.size, nonzero);
    }
  }
  return scan;
}

Size3 ResampledSize(const CaseFrame& frame, const Plan& plan) {
  const Spacing3 target = TargetSpacing(frame, plan);
  Size3 size = frame.crop.size();
  for (size_t a = 0; a < 3; ++a) {
    size[a] = std::max<int64_t>(
        1, std::llround(static_cast<double>(size[a]) * frame.spacing[a] / target[a]));
  }
  return size;
}

Interpolation3 InterpolationFor(const Spacing3& from, const Spacing3& to,
                                Interpolation in_general) {
  Interpolation3 all = {in_general, in_general, in_general};
  const Spacing3& decides = Anisotropy(from) > 3 ? from : to;
  if (Anisotropy(decides) <= 3) return all;
  const auto coarsest = std::max_element(decides.begin(), decides.end()) - decides.begin();
  all[static_cast<size_t>(coarsest)] = Interpolation::kNearest;
  return all;
}

PreparedImage PrepareImage(std::span<const io::Volume> channels, const Plan& plan,
                           const std::string& where, ThreadPool& pool) {
  if (channels.size() != plan.channels.size()) {
    throw DataError(
        fmt::format("{} channels where the plan has {}", channels.size(), plan.channels.size()),
        where);
  }
  CroppedScan scan = CropScan(channels, where);
  PreparedImage image{.size = ResampledSize(scan.frame, plan),
                      .channels = static_cast<int64_t>(channels.size()),
                      .frame = scan.frame};
  const Size3 from = scan.frame.crop.size();
  const Interpolation3 how =
      InterpolationFor(scan.frame.spacing, TargetSpacing(scan.frame, plan), Interpolation::kCubic);
  for (size_t c = 0; c < channels.size(); ++c) {
    std::vector<float>& values = scan.channels[c];
    if (plan.channels[c].ct) {
      ClipAndShift(values, plan.channels[c]);
    } else {
      Standardise(values, plan.nonzero_mask);
    }
    if (image.size != from) values = volume::Resize(values, from, image.size, how, pool);
    image.values.insert(image.values.end(), values.begin(), values.end());
  }
  const auto first =
      std::span<const float>(image.values).first(static_cast<size_t>(volume::Voxels(image.size)));
  image.body = BodyBox(first, image.size);
  return image;
}

std::vector<float> Stretch(const PreparedImage& image, const Size3& patch, ThreadPool& pool) {
  using volume::Interpolation;
  const auto voxels = static_cast<size_t>(volume::Voxels(image.size));
  std::vector<float> all;
  for (int64_t m = 0; m < image.channels; ++m) {
    const auto channel =
        std::span<const float>(image.values).subspan(static_cast<size_t>(m) * voxels, voxels);
    const std::vector<float> one = volume::Resize(
        channel, image.size, patch,
        {Interpolation::kLinear, Interpolation::kLinear, Interpolation::kLinear}, pool);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

std::vector<uint8_t> CropLabels(const io::Volume& labels, const CaseFrame& frame, int64_t classes,
                                const std::string& where) {
  const io::Vec3 spacing = frame.original.affine.Spacing();
  const double tolerance = 0.1 * *std::min_element(spacing.begin(), spacing.end());
  const auto same = io::MatchGrids(labels.grid, frame.original, tolerance);
  if (!same) {
    const volume::Size3 &a = labels.grid.size, &b = frame.original.size;
    const std::string how =
        a == b ? "they lie elsewhere in space"
               : fmt::format("{}x{}x{}, {}x{}x{}", a[0], a[1], a[2], b[0], b[1], b[2]);
    throw DataError("the label map has other voxels than the image: " + how, where);
  }
  const std::vector<float> values =
      io::RealValues(io::Reorient(io::Reorient(labels, *same), frame.canonical));
  std::vector<uint8_t> whole(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const float v = values[i];
    if (!(v >= 0 && v <= static_cast<float>(classes)) || v != std::floor(v)) {
      throw DataError(fmt::format("label {:g} is none of 0 to {}", v, classes), where);
    }
    whole[i] = static_cast<uint8_t>(v);
  }
  if (frame.crop.size() == frame.whole) return whole;
  return Cut(std::span<const uint8_t>(whole), frame.whole, frame.crop);
}

std::vector<uint8_t> PrepareLabels(const io::Volume& labels, const PreparedImage& image,
                                   const Plan& plan, const std::string& where, ThreadPool& pool) {
  std::vector<uint8_t> values = CropLabels(labels, image.frame, plan.classes(), where);
  const Size3 from = image.frame.crop.size();
  if (from == image.size) return values;
  const Interpolation3 how = InterpolationFor(image.frame.spacing, TargetSpacing(image.frame, plan),
                                              Interpolation::kLinear);
  return volume::ResizeLabels(std::span<const uint8_t>(values), from, image.size, how, pool);
}

Box BodyBox(std::span<const float> values, const Size3& size) {
  constexpr size_t kBins = 256;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const Box whole{{0, 0, 0}, size};
  if (!(*high > *low)) return whole;
  const double scale = (kBins - 1e-6) / (static_cast<double>(*high) - *low);
  std::array<int64_t, kBins> histogram{};
  for (const float v : values)
    ++histogram[static_cast<size_t>((static_cast<double>(v) - *low) * scale)];
  // Otsu: the threshold with the largest variance between the two sides.
  double total = 0;
  for (size_t b = 0; b < kBins; ++b)
    total += static_cast<double>(b) * static_cast<double>(histogram[b]);
  const auto count = static_cast<double>(values.size());
  double below = 0, sum_below = 0, best = -1;
  size_t threshold = 0;
  for (size_t b = 0; b + 1 < kBins; ++b) {
    below += static_cast<double>(histogram[b]);
    sum_below += static_cast<double>(b) * static_cast<double>(histogram[b]);
    if (below == 0 || below == count) continue;
    const double gap = sum_below / below - (total - sum_below) / (count - below);
    const double between = below * (count - below) * gap * gap;
    if (between > best) {
      best = between;
      threshold = b;
    }
  }
  const auto cut = static_cast<float>(*low + static_cast<double>(threshold + 1) / scale);
  int64_t inside = 0;
  for (const float v : values) inside += v > cut ? 1 : 0;
  if (inside * 1000 < std::ssize(values)) return whole;
  return BoxOf(values, size, [cut](float v) { return v > cut; });
}

}  // namespace orchard::segment
