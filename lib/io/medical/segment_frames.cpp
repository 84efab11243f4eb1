#include "io/medical/segment_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "io/medical/orientation.h"

namespace orchard::io {
namespace {

std::string Text(const Grid& grid) {
  const Vec3 spacing = grid.affine.Spacing();
  return fmt::format("{}x{}x{} voxels of {:.4g}x{:.4g}x{:.4g} mm", grid.size[0], grid.size[1],
                     grid.size[2], spacing[0], spacing[1], spacing[2]);
}

// The label map in the axis order of the series.
Volume OnSeriesGrid(const Volume& labels, const DicomSeries& reference, const std::string& where) {
  const Vec3 spacing = reference.grid.affine.Spacing();
  const double tolerance = std::max(1e-2, 1e-2 * std::min({spacing[0], spacing[1], spacing[2]}));
  const auto map = MatchGrids(labels.grid, reference.grid, tolerance);
  if (!map) {
    throw DataError("the label map is not on the grid of the series: " + Text(labels.grid) +
                        " against " + Text(reference.grid),
                    where, "make it on the image that convert writes of the series");
  }
  return Reorient(labels, *map);
}

std::vector<uint16_t> WholeLabels(const Volume& volume, const std::string& where) {
  std::vector<uint16_t> labels(static_cast<size_t>(volume.grid.Voxels()));
  VisitNumber(volume.dtype, [&]<class T>(T) {
    const auto elements = volume.Elements<T>();
    for (size_t i = 0; i < labels.size(); ++i) {
      const double value = volume.slope * static_cast<double>(elements[i]) + volume.intercept;
      if (!(value >= 0 && value <= 65535) || value != std::trunc(value)) {
        throw DataError(fmt::format("{:g} is no label (whole numbers from 0 to 65535)", value),
                        fmt::format("{}: voxel {}", where, i));
      }
      labels[i] = static_cast<uint16_t>(value);
    }
  });
  return labels;
}

// The slice of the grid for every image of the series.
std::vector<size_t> SliceOfImage(const DicomSeries& reference) {
  std::vector<size_t> slices;
  const Affine inverse = reference.grid.affine.Inverse();
  for (size_t i = 0; i < reference.frames.size(); ++i) {
    const Vec3& p = reference.frames[i].position;
    const double k =
        reference.uniform ? static_cast<double>(i) : std::round(inverse({-p[0], -p[1], p[2]})[2]);
    slices.push_back(
        static_cast<size_t>(std::clamp(k, 0.0, static_cast<double>(reference.grid.size[2] - 1))));
  }
  return slices;
}

}  // namespace

SegmentFrames CutIntoFrames(const Volume& labels, const DicomSeries& reference,
                            const SegmentationOptions& options, const std::string& where) {
  SegmentFrames result{.rows = reference.first().rows, .columns = reference.first().columns};
  const std::vector<uint16_t> volume = WholeLabels(OnSeriesGrid(labels, reference, where), where);
  const auto pixels = static_cast<size_t>(result.rows * result.columns);
  const size_t images = reference.frames.size();
  std::map<int64_t, Segment> segments;
  for (const Segment& segment : options.segments) {
    if (segment.label < 1 || segment.label > 65535)
      throw UsageError(fmt::format("label {} (1 to 65535 are possible)", segment.label));
    segments[segment.label] = segment;
  }
  std::map<int64_t, std::vector<size_t>> images_of_label;
  const std::vector<size_t> slices = SliceOfImage(reference);
  result.labels.reserve(images * pixels);
  for (size_t image = 0; image < images; ++image) {
    const auto begin = volume.begin() + static_cast<std::ptrdiff_t>(slices[image] * pixels);
    result.labels.insert(result.labels.end(), begin, begin + static_cast<std::ptrdiff_t>(pixels));
    std::vector<bool> seen(65536);
    for (auto at = begin; at != begin + static_cast<std::ptrdiff_t>(pixels); ++at) {
      if (*at == 0 || seen[*at]) continue;
      seen[*at] = true;
      images_of_label[*at].push_back(image);
      segments.try_emplace(*at, Segment{.label = *at});
    }
  }
  if (segments.empty()) {
    throw DataError("an empty label map, and no segment is described", where,
                    "name the segments with --labels");
  }
  for (auto& [label, segment] : segments) {
    if (segment.name.empty()) segment.name = fmt::format("label {}", label);
    result.segments.push_back(segment);
  }
  if (options.kind == SegmentationKind::kLabelMap) {
    for (size_t image = 0; image < images; ++image) result.frames.push_back({0, image});
    return result;
  }
  for (size_t s = 0; s < result.segments.size(); ++s)
    for (size_t image : images_of_label[result.segments[s].label])
      result.frames.push_back({s, image});
  // A file needs a frame: of a label map without any voxel, an empty one.
  if (result.frames.empty()) result.frames.push_back({0, 0});
  return result;
}

}  // namespace orchard::io
