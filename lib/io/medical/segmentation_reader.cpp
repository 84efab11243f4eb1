#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "io/medical/bit_packing.h"
#include "io/medical/dicom_elements.h"
#include "io/medical/dicom_library.h"
#include "io/medical/dicom_pixels.h"
#include "io/medical/segmentation.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

constexpr double kSamePlace = 1e-3;  // mm
constexpr int64_t kMostVoxels = int64_t{1} << 31;

DicomCode ReadCode(DcmItem& item, const DcmTagKey& sequence) {
  DcmItem* code = Item(item, sequence);
  if (!code) return {};
  return {Ascii(Text(*code, DCM_CodeValue)), Ascii(Text(*code, DCM_CodingSchemeDesignator)),
          Ascii(Text(*code, DCM_CodeMeaning))};
}

// Segments by number; their labels are what the description keeps, else the number.
std::map<int64_t, Segment> ReadSegments(DcmItem& dataset, const std::string& where) {
  std::map<int64_t, Segment> segments;
  for (long i = 0; DcmItem* item = Item(dataset, DCM_SegmentSequence, i); ++i) {
    const auto number = Integer(*item, DCM_SegmentNumber, -1);
    if (number < 0 || number > 65535)
      throw DataError("a segment without a number", where + ": SegmentSequence");
    Segment segment{.label = number, .name = Ascii(Text(*item, DCM_SegmentLabel))};
    segment.category = ReadCode(*item, DCM_SegmentedPropertyCategoryCodeSequence);
    segment.type = ReadCode(*item, DCM_SegmentedPropertyTypeCodeSequence);
    constexpr std::string_view kKept = "label value ";
    const std::string description = Text(*item, DCM_SegmentDescription);
    if (description.starts_with(kKept)) {
      const int64_t label = std::atoll(description.c_str() + kKept.size());
      if (label >= 1 && label <= 65535) segment.label = label;
    }
    if (!segments.emplace(number, segment).second)
      throw DataError(fmt::format("segment {} twice", number), where + ": SegmentSequence");
  }
  return segments;
}

double Height(const DicomFrame& frame, const Vec3& normal) { return Dot(frame.position, normal); }

// The grid of the frames' slices, which may have holes where empty frames were left out.
Grid MakeGrid(const std::vector<DicomFrame>& frames, const Vec3& normal, const std::string& where) {
  const auto [low, high] = std::minmax_element(frames.begin(), frames.end(),
                                               [&](const DicomFrame& a, const DicomFrame& b) {
                                                 return Height(a, normal) < Height(b, normal);
                                               });
  const double extent = Height(*high, normal) - Height(*low, normal);
  double step = frames.front().spacing_between_slices;
  if (!(step > 0)) {
    std::vector<double> heights;
    heights.reserve(frames.size());
    for (const DicomFrame& frame : frames) heights.push_back(Height(frame, normal));
    std::sort(heights.begin(), heights.end());
    step = frames.front().slice_thickness > 0 && extent < kSamePlace
               ? frames.front().slice_thickness
               : std::max(extent, 1.0);
    for (size_t i = 1; i < heights.size(); ++i)
      if (heights[i] - heights[i - 1] > kSamePlace)
        step = std::min(step, heights[i] - heights[i - 1]);
  }
  const double slices = std::round(extent / step) + 1;
  if (!(slices < 1e6)) throw DataError("frames too far apart for a volume", where);
  Vec3 column{};
  for (size_t i = 0; i < 3; ++i) {
    column[i] =
        slices > 1 ? (high->position[i] - low->position[i]) / (slices - 1) : normal[i] * step;
  }
  const auto ras = [](const Vec3& p, double s) { return Vec3{-p[0] * s, -p[1] * s, p[2] * s}; };
  const DicomFrame& first = frames.front();
  return {{first.columns, first.rows, static_cast<int64_t>(slices)},
          Affine::FromColumns(ras(first.along_row, first.spacing[1]),
                              ras(first.along_column, first.spacing[0]), ras(column, 1),
                              ras(low->position, 1))};
}

struct Target {
  size_t pixels;  // of a slice
  std::vector<uint16_t> labels;
};

// Frames of single bits, read where they lie.
void ReadBits(DcmItem& dataset, const std::vector<DicomFrame>& frames,
              const std::map<int64_t, Segment>& segments, const std::vector<size_t>& slices,
              Target& target, const std::string& where) {
  const Uint8* bytes = nullptr;
  unsigned long count = 0;
  if (dataset.findAndGetUint8Array(DCM_PixelData, bytes, &count).bad() || !bytes)
    throw DataError("no pixels, or compressed ones", where + ": PixelData");
  if (static_cast<uint64_t>(count) * 8 < frames.size() * target.pixels) {
    throw DataError(fmt::format("pixels are cut short: {} of {} bytes", count,
                                (frames.size() * target.pixels + 7) / 8),
                    where + ": PixelData");
  }
  const std::span<const uint8_t> bits(bytes, count);
  for (size_t f = 0; f < frames.size(); ++f) {
    const auto segment = segments.find(frames[f].segment);
    if (segment == segments.end()) {
      throw DataError(fmt::format("frame {} shows segment {}, which is not described", f + 1,
                                  frames[f].segment),
                      where);
    }
    const auto label = static_cast<uint16_t>(segment->second.label);
    uint16_t* out = target.labels.data() + slices[f] * target.pixels;
    for (size_t i = 0; i < target.pixels; ++i)
      if (BitAt(bits, f * target.pixels + i)) out[i] = label;
  }
}

void ReadNumbers(const std::filesystem::path& path, const std::vector<DicomFrame>& frames,
                 const std::vector<size_t>& slices, Target& target) {
  DicomPixels pixels(path);
  for (size_t f = 0; f < frames.size(); ++f) {
    const std::vector<int32_t> values = pixels.Frame(frames[f].number);
    std::transform(values.begin(), values.end(), target.labels.data() + slices[f] * target.pixels,
                   [](int32_t value) { return static_cast<uint16_t>(value); });
  }
}

}  // namespace

bool IsSegmentation(const std::filesystem::path& path) {
  return ReadDicomFile(path).skipped.reason == SkipReason::kSegmentation;
}

Segmentation ReadSegmentation(const std::filesystem::path& path) {
  const std::string where = path.string();
  const DicomFile file = ReadDicomFile(path, DicomKind::kSegmentation);
  if (file.frames.empty()) throw DataError(file.skipped.why, where);
  DcmFileFormat format;
  if (format.loadFile(path.c_str(), EXS_Unknown, EGL_noChange, 4096).bad())
    throw DataError("damaged", where);
  DcmDataset& dataset = *format.getDataset();
  const std::string type = Text(dataset, DCM_SegmentationType);
  if (type != "BINARY" && type != "LABELMAP")
    throw DataError("a segmentation of type " + Quoted(Ascii(type)), where,
                    "BINARY and LABELMAP are read");

  Segmentation result;
  result.series_uid = Ascii(Text(dataset, DCM_SeriesInstanceUID));
  result.description = Ascii(Text(dataset, DCM_SeriesDescription));
  const std::map<int64_t, Segment> segments = ReadSegments(dataset, where);
  const std::vector<DicomFrame>& frames = file.frames;
  const Vec3 normal = Cross(frames.front().along_row, frames.front().along_column);
  const Grid grid = MakeGrid(frames, normal, where);
  if (grid.size[0] * grid.size[1] > kMostVoxels / grid.size[2])
    throw DataError("a segmentation of more than 2^31 voxels", where);
  const double bottom =
      Dot({-grid.affine.m[0][3], -grid.affine.m[1][3], grid.affine.m[2][3]}, normal);
  const Vec3 step = grid.affine.Column(2);
  const double spacing = Dot({-step[0], -step[1], step[2]}, normal);
  std::vector<size_t> slices;
  for (const DicomFrame& frame : frames) {
    const double k = (Height(frame, normal) - bottom) / spacing;
    if (frame.rows != frames.front().rows ||
        Norm(Minus(frame.along_row, frames.front().along_row)) > 1e-3)
      throw DataError("frames of different orientation", where);
    if (std::abs(k - std::round(k)) > 0.1) {
      result.warnings.push_back("frames do not lie on a regular grid: placed on the nearest slice");
    }
    slices.push_back(
        static_cast<size_t>(std::clamp(std::round(k), 0.0, static_cast<double>(grid.size[2] - 1))));
  }
  std::sort(result.warnings.begin(), result.warnings.end());
  result.warnings.erase(std::unique(result.warnings.begin(), result.warnings.end()),
                        result.warnings.end());

  Target target{static_cast<size_t>(grid.size[0] * grid.size[1]), {}};
  target.labels.resize(target.pixels * static_cast<size_t>(grid.size[2]));
  if (type == "BINARY") {
    ReadBits(dataset, frames, segments, slices, target, where);
  } else {
    ReadNumbers(path, frames, slices, target);
  }
  const uint16_t highest = *std::max_element(target.labels.begin(), target.labels.end());
  result.labels = MakeVolume(grid, highest > 255 ? DType::kU16 : DType::kU8);
  if (highest > 255) {
    std::copy(target.labels.begin(), target.labels.end(),
              result.labels.Elements<uint16_t>().begin());
  } else {
    std::transform(target.labels.begin(), target.labels.end(),
                   result.labels.Elements<uint8_t>().begin(),
                   [](uint16_t value) { return static_cast<uint8_t>(value); });
  }
  for (const auto& [number, segment] : segments) result.segments.push_back(segment);
  return result;
}

}  // namespace orchard::io
