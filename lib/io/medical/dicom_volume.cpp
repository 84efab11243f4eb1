#include "io/medical/dicom_volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/medical/dicom_pixels.h"

namespace orchard::io {
namespace {

constexpr int32_t kPaddingInteger = std::numeric_limits<int32_t>::min();

bool Whole(double value) { return value == std::trunc(value) && std::abs(value) < 1e9; }

// What the slices of a series become: int32 or float32, padding marked by the smallest int32 or
// NaN.
template <class T>
class SliceReader {
 public:
  SliceReader(const DicomSeries& series, std::vector<T>& target)
      : series_(series), target_(target) {}

  // All frames of one file. Safe to call from several threads for different files.
  void ReadFile(const std::vector<size_t>& slices) {
    DicomPixels pixels(series_.frames[slices.front()].file);
    const bool invert = pixels.monochrome1() && series_.first().modality != "CT";
    if (invert) inverted_ = true;
    const auto [low, high] = pixels.padding();
    for (size_t slice : slices) {
      const DicomFrame& frame = series_.frames[slice];
      const std::vector<int32_t> stored = pixels.Frame(frame.number);
      T* out = target_.data() + slice * stored.size();
      for (size_t i = 0; i < stored.size(); ++i) {
        if (stored[i] >= low && stored[i] <= high) {
          out[i] = Padding();
          padded_ = true;
          continue;
        }
        const int64_t value = invert ? pixels.lowest() + pixels.highest() - stored[i] : stored[i];
        out[i] = Rescale(value, frame);
      }
    }
  }

  bool inverted() const { return inverted_; }
  bool padded() const { return padded_; }

  static T Padding() {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
    return static_cast<T>(kPaddingInteger);
  }
  static bool IsPadding(T value) {
    if constexpr (std::is_floating_point_v<T>) return std::isnan(value);
    return value == Padding();
  }

 private:
  static T Rescale(int64_t value, const DicomFrame& frame) {
    const double real = frame.slope * static_cast<double>(value) + frame.intercept;
    if constexpr (!std::is_floating_point_v<T>) {
      if (std::abs(real) > 2147483647.0)
        throw DataError("a rescaled value beyond 32 bits", frame.file.string());
    }
    return static_cast<T>(real);
  }

  const DicomSeries& series_;
  std::vector<T>& target_;
  std::atomic<bool> inverted_ = false, padded_ = false;
};

// Slices of the grid out of frames at their own heights.
template <class T>
std::vector<T> Interpolate(const DicomSeries& series, const std::vector<T>& source) {
  const DicomFrame& first = series.first();
  const Vec3 normal = Cross(first.along_row, first.along_column);
  std::vector<double> heights;
  for (const DicomFrame& frame : series.frames)
    heights.push_back(Dot(Minus(frame.position, first.position), normal));
  const Vec3 step = series.grid.affine.Column(2);
  const double spacing = std::abs(Dot({-step[0], -step[1], step[2]}, normal));
  const auto pixels = static_cast<size_t>(first.rows * first.columns);
  std::vector<T> target(pixels * static_cast<size_t>(series.grid.size[2]));
  size_t above = 1;
  for (int64_t k = 0; k < series.grid.size[2]; ++k) {
    const double height = static_cast<double>(k) * spacing;
    while (above + 1 < heights.size() && heights[above] < height) ++above;
    const double w =
        std::clamp((height - heights[above - 1]) / (heights[above] - heights[above - 1]), 0.0, 1.0);
    const T *a = source.data() + (above - 1) * pixels, *b = source.data() + above * pixels;
    T* out = target.data() + static_cast<size_t>(k) * pixels;
    for (size_t i = 0; i < pixels; ++i) {
      const double value = (1 - w) * static_cast<double>(a[i]) + w * static_cast<double>(b[i]);
      out[i] = static_cast<T>(std::is_floating_point_v<T> ? value : std::round(value));
    }
  }
  return target;
}

template <class To, class From>
Volume Narrowed(const Grid& grid, DType dtype, const std::vector<From>& values) {
  Volume volume = MakeVolume(grid, dtype);
  std::transform(values.begin(), values.end(), volume.Elements<To>().begin(),
                 [](From value) { return static_cast<To>(value); });
  return volume;
}

Volume SmallestType(const Grid& grid, const std::vector<int32_t>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (*low >= INT16_MIN && *high <= INT16_MAX) return Narrowed<int16_t>(grid, DType::kI16, values);
  if (*low >= 0 && *high <= UINT16_MAX) return Narrowed<uint16_t>(grid, DType::kU16, values);
  return Narrowed<int32_t>(grid, DType::kI32, values);
}
Volume SmallestType(const Grid& grid, const std::vector<float>& values) {
  return Narrowed<float>(grid, DType::kF32, values);
}

template <class T>
DicomVolume ReadAs(const DicomSeries& series, const DicomVolumeOptions& options) {
  std::map<std::filesystem::path, std::vector<size_t>> slices_of_file;
  for (size_t i = 0; i < series.frames.size(); ++i)
    slices_of_file[series.frames[i].file].push_back(i);
  std::vector<const std::vector<size_t>*> work;
  work.reserve(slices_of_file.size());
  for (const auto& [file, slices] : slices_of_file) work.push_back(&slices);

  std::vector<T> values;
  try {
    values.resize(static_cast<size_t>(series.first().rows * series.first().columns) *
                  series.frames.size());
  } catch (const std::bad_alloc&) {
    throw ResourceError(fmt::format("no memory for {} slices", series.frames.size()));
  }
  SliceReader<T> reader(series, values);
  ThreadPool pool(options.threads);
  pool.ForEach(static_cast<int64_t>(work.size()),
               [&](int64_t i) { reader.ReadFile(*work[static_cast<size_t>(i)]); });

  DicomVolume result;
  result.warnings = series.warnings;
  if (reader.inverted()) result.warnings.push_back("MONOCHROME1: values turned over");
  if (reader.padded()) {
    T lowest = std::numeric_limits<T>::max();
    for (T value : values)
      if (!SliceReader<T>::IsPadding(value)) lowest = std::min(lowest, value);
    if (lowest == std::numeric_limits<T>::max()) lowest = 0;  // nothing but padding
    for (T& value : values)
      if (SliceReader<T>::IsPadding(value)) value = lowest;
    result.warnings.push_back("padding pixels became the smallest other value");
  }
  if (!series.uniform) values = Interpolate(series, values);
  result.volume = SmallestType(series.grid, values);
  return result;
}

}  // namespace

DicomVolume ReadDicomVolume(const DicomSeries& series, const DicomVolumeOptions& options) {
  const std::string where = series.first().file.parent_path().string();
  if (!series.problem.empty()) throw DataError(series.problem, where);
  if (!series.gap.empty() && !options.allow_gaps)
    throw DataError(series.gap, where, "--allow-gaps interpolates over it");
  const bool whole =
      std::all_of(series.frames.begin(), series.frames.end(),
                  [](const DicomFrame& f) { return Whole(f.slope) && Whole(f.intercept); });
  DicomVolume result = whole ? ReadAs<int32_t>(series, options) : ReadAs<float>(series, options);
  if (!series.gap.empty()) result.warnings.push_back(series.gap + ": interpolated");
  return result;
}

Volume RemoveShear(const Volume& volume) {
  const Affine& from = volume.grid.affine;
  if (from.Shear() < 1e-6) return volume;
  const Vec3 spacing = from.Spacing();
  const Vec3 u = from.Column(0), v = from.Column(1), step = from.Column(2);
  Vec3 upright = Cross(u, v);
  const double area = Norm(upright);
  for (double& x : upright) x /= area;
  const double height = Dot(step, upright);
  // Slice k of the source lies shifted by k * shift pixels.
  const std::array<double, 2> shift = {Dot(step, u) / (spacing[0] * spacing[0]),
                                       Dot(step, v) / (spacing[1] * spacing[1])};
  const double last = static_cast<double>(volume.grid.size[2] - 1);
  std::array<int64_t, 2> before{}, after{};
  for (size_t a = 0; a < 2; ++a) {
    before[a] = static_cast<int64_t>(std::ceil(std::max(0.0, -shift[a] * last) - 1e-9));
    after[a] = static_cast<int64_t>(std::ceil(std::max(0.0, shift[a] * last) - 1e-9));
  }
  Grid grid;
  grid.size = {volume.grid.size[0] + before[0] + after[0],
               volume.grid.size[1] + before[1] + after[1], volume.grid.size[2]};
  grid.affine = Affine::FromColumns(
      u, v, {upright[0] * height, upright[1] * height, upright[2] * height},
      from({-static_cast<double>(before[0]), -static_cast<double>(before[1]), 0}));
  Volume result = MakeVolume(grid, volume.dtype);
  result.slope = volume.slope;
  result.intercept = volume.intercept;
  VisitNumber(volume.dtype, [&]<class T>(T) {
    const std::span<const T> in = volume.Elements<T>();
    const std::span<T> out = result.Elements<T>();
    const T lowest = *std::min_element(in.begin(), in.end());
    const auto& size = volume.grid.size;
    const auto at = [&](int64_t i, int64_t j, int64_t k) {
      const bool inside = i >= 0 && j >= 0 && i < size[0] && j < size[1];
      return static_cast<double>(inside ? in[static_cast<size_t>(i + size[0] * (j + size[1] * k))]
                                        : lowest);
    };
    size_t target = 0;
    for (int64_t k = 0; k < grid.size[2]; ++k) {
      for (int64_t j = 0; j < grid.size[1]; ++j) {
        for (int64_t i = 0; i < grid.size[0]; ++i, ++target) {
          const double x = static_cast<double>(i - before[0]) - shift[0] * static_cast<double>(k);
          const double y = static_cast<double>(j - before[1]) - shift[1] * static_cast<double>(k);
          const auto x0 = static_cast<int64_t>(std::floor(x)),
                     y0 = static_cast<int64_t>(std::floor(y));
          const double wx = x - static_cast<double>(x0), wy = y - static_cast<double>(y0);
          const double value = (1 - wy) * ((1 - wx) * at(x0, y0, k) + wx * at(x0 + 1, y0, k)) +
                               wy * ((1 - wx) * at(x0, y0 + 1, k) + wx * at(x0 + 1, y0 + 1, k));
          out[target] = static_cast<T>(std::is_floating_point_v<T> ? value : std::round(value));
        }
      }
    }
  });
  return result;
}

}  // namespace orchard::io
