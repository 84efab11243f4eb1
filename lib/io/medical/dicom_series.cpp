#include "io/medical/dicom_series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <tuple>

#include "base/number_format.h"

namespace orchard::io {
namespace {

constexpr double kSamePlace = 1e-3;  // mm
constexpr double kUniform = 0.01;    // of the median step
constexpr double kDirectionTolerance = 1e-3;

Vec3 Normal(const DicomFrame& frame) { return Cross(frame.along_row, frame.along_column); }

// LPS to RAS.
Vec3 Ras(const Vec3& p) { return {0 - p[0], 0 - p[1], p[2]}; }
Vec3 Scaled(const Vec3& v, double s) { return {v[0] * s, v[1] * s, v[2] * s}; }

bool IsLocalizer(const DicomFrame& frame) {
  return frame.image_type.find("LOCALIZER") != std::string::npos;
}

// What must be equal to the letter for two frames to be of one series.
auto Key(const DicomFrame& f) {
  const bool named = !f.series_uid.empty();
  return std::make_tuple(f.series_number, f.series_uid, named ? "" : f.study_uid,
                         named ? "" : f.frame_of_reference_uid, named ? "" : f.modality,
                         named ? "" : f.series_description, f.rows, f.columns, IsLocalizer(f));
}

bool SamePlane(const DicomFrame& a, const DicomFrame& b) {
  const auto near = [](double x, double y) { return std::abs(x - y) <= 1e-3 * std::abs(y); };
  return Norm(Minus(a.along_row, b.along_row)) < kDirectionTolerance &&
         Norm(Minus(a.along_column, b.along_column)) < kDirectionTolerance &&
         near(a.spacing[0], b.spacing[0]) && near(a.spacing[1], b.spacing[1]);
}

std::string Name(const DicomFrame& frame) {
  std::string name = frame.file.filename().string();
  return frame.of > 1 ? fmt::format("{} frame {}", name, frame.number + 1) : name;
}

std::vector<double> Heights(const std::vector<DicomFrame>& frames) {
  const Vec3 normal = Normal(frames.front());
  std::vector<double> heights;
  heights.reserve(frames.size());
  for (const DicomFrame& frame : frames) heights.push_back(Dot(frame.position, normal));
  return heights;
}

void SortByHeight(std::vector<DicomFrame>& frames) {
  const Vec3 normal = Normal(frames.front());
  std::stable_sort(frames.begin(), frames.end(), [&](const DicomFrame& a, const DicomFrame& b) {
    return Dot(a.position, normal) < Dot(b.position, normal);
  });
}

bool HasTwoInOnePlace(std::vector<DicomFrame> frames) {
  SortByHeight(frames);
  const std::vector<double> heights = Heights(frames);
  for (size_t i = 1; i < heights.size(); ++i)
    if (heights[i] - heights[i - 1] < kSamePlace) return true;
  return false;
}

// Leaves one of each instance: the same UID and frame in the same place.
void DropCopies(DicomSeries& series) {
  std::map<std::pair<std::string, int64_t>, const DicomFrame*> seen;
  std::vector<DicomFrame> kept;
  kept.reserve(series.frames.size());
  for (const DicomFrame& frame : series.frames) {
    const auto [at, fresh] = seen.try_emplace({frame.sop_instance_uid, frame.number}, &frame);
    if (!fresh && Norm(Minus(at->second->position, frame.position)) < kSamePlace) {
      series.warnings.push_back(
          fmt::format("{} is a copy of {}: counted once", Name(frame), Name(*at->second)));
    } else {
      kept.push_back(frame);
    }
  }
  series.frames = std::move(kept);
}

// Parts that have no two images in one place, by the first property that achieves it; nothing when
// none does.
std::vector<DicomSeries> SplitByVariant(const DicomSeries& series) {
  const size_t properties = series.first().variant.size();
  for (size_t property = 0; property < properties; ++property) {
    std::map<std::string, DicomSeries> parts;
    for (const DicomFrame& frame : series.frames) {
      DicomSeries& part = parts[frame.variant[property]];
      part.frames.push_back(frame);
    }
    const bool apart =
        parts.size() > 1 && std::none_of(parts.begin(), parts.end(), [](const auto& p) {
          return HasTwoInOnePlace(p.second.frames);
        });
    if (!apart) continue;
    std::vector<DicomSeries> result;
    for (auto& [value, part] : parts) {
      part.id = series.id;
      part.localizer = series.localizer;
      part.warnings = series.warnings;
      part.variant = fmt::format("{} {}", kVariantNames[property], value.empty() ? "none" : value);
      result.push_back(std::move(part));
    }
    return result;
  }
  return {};
}

// The step of a stack of one image.
double LonelyStep(DicomSeries& series) {
  const DicomFrame& frame = series.first();
  for (double step : {frame.spacing_between_slices, frame.slice_thickness})
    if (step > 0) return step;
  series.warnings.push_back("a single slice without a thickness: 1 mm assumed");
  return 1;
}

void ReportTwoInOnePlace(DicomSeries& series, const std::vector<double>& heights) {
  for (size_t i = 1; i < heights.size(); ++i) {
    if (heights[i] - heights[i - 1] >= kSamePlace) continue;
    series.problem =
        fmt::format("two slices at {} mm along the normal ({} and {})", FormatFixed(heights[i], 3),
                    Name(series.frames[i - 1]), Name(series.frames[i]));
    return;
  }
}

// Fills `gap`, `uniform` and their warnings; returns the median step.
double MeasureSteps(DicomSeries& series, const std::vector<double>& heights) {
  std::vector<double> steps;
  for (size_t i = 1; i < heights.size(); ++i) steps.push_back(heights[i] - heights[i - 1]);
  // The lower median: of two steps, one of which is a gap, the other one.
  std::vector<double> sorted = steps;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double median = *middle;
  double worst = 0;
  int64_t missing = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double ratio = steps[i] / median;
    worst = std::max(worst, std::abs(ratio - 1));
    const double whole = std::round(ratio);
    if (whole < 2 || std::abs(ratio - whole) > 0.1) continue;
    missing += static_cast<int64_t>(whole) - 1;
    if (series.gap.empty()) {
      series.gap = fmt::format("between {} mm ({}) and {} mm ({})", FormatFixed(heights[i], 3),
                               Name(series.frames[i]), FormatFixed(heights[i + 1], 3),
                               Name(series.frames[i + 1]));
    }
  }
  if (missing > 0) {
    series.gap = fmt::format("{} slice{} missing, {}{}", missing, missing > 1 ? "s" : "",
                             missing > 1 ? "first " : "", series.gap);
  }
  series.uniform = worst <= kUniform;
  if (!series.uniform && series.gap.empty()) {
    series.warnings.push_back(
        fmt::format("the steps between slices vary by {:.1f} %: interpolated at steps of {} mm",
                    100 * worst, FormatFixed(median, 4)));
  }
  return median;
}

// Sets the grid of frames that are sorted, or a problem.
void MakeGrid(DicomSeries& series) {
  const DicomFrame &first = series.first(), &last = series.frames.back();
  const Vec3 normal = Normal(first);
  const auto count = static_cast<int64_t>(series.frames.size());
  Vec3 step;
  int64_t slices = count;
  if (count == 1) {
    step = Scaled(normal, LonelyStep(series));
  } else {
    const std::vector<double> heights = Heights(series.frames);
    ReportTwoInOnePlace(series, heights);
    if (!series.problem.empty()) return;
    const double median = MeasureSteps(series, heights);
    const double extent = heights.back() - heights.front();
    if (extent / median > 65536) {
      series.problem = fmt::format("slices {} mm apart at steps of {} mm", FormatFixed(extent, 1),
                                   FormatFixed(median, 4));
      return;
    }
    const Vec3 line = Scaled(Minus(last.position, first.position), 1 / extent);  // per mm of height
    const double tolerance =
        std::max(10 * kSamePlace, 0.05 * std::min(first.spacing[0], first.spacing[1]));
    for (size_t i = 0; i < series.frames.size(); ++i) {
      const Vec3 expected = Scaled(line, heights[i] - heights.front());
      const Vec3 off = Minus(Minus(series.frames[i].position, first.position), expected);
      if (Norm(off) <= tolerance) continue;
      series.problem = fmt::format("slices do not lie on one line: {} is {} mm off",
                                   Name(series.frames[i]), FormatFixed(Norm(off), 3));
      return;
    }
    if (!series.uniform) slices = static_cast<int64_t>(std::floor(extent / median + 1e-6)) + 1;
    if (slices > 4 * count) {
      series.problem = fmt::format("{} slices at steps of {} mm would have to be made of {}",
                                   slices, FormatFixed(median, 4), count);
      return;
    }
    step = Scaled(line, series.uniform ? extent / static_cast<double>(count - 1) : median);
    const double cosine = std::min(1.0, 1 / Norm(line));
    series.tilt_degrees = std::acos(cosine) * 180 / std::numbers::pi;
    if (series.tilt_degrees > 0.1) {
      series.warnings.push_back(fmt::format(
          "the gantry was tilted by {:.1f} degrees: the affine is sheared, no voxel was moved",
          series.tilt_degrees));
    }
  }
  series.grid.size = {first.columns, first.rows, slices};
  series.grid.affine = Affine::FromColumns(Ras(Scaled(first.along_row, first.spacing[1])),
                                           Ras(Scaled(first.along_column, first.spacing[0])),
                                           Ras(step), Ras(first.position));
}

void CollectWarnings(DicomSeries& series) {
  std::map<std::string, int64_t> counts;
  int64_t derived = 0;
  for (const DicomFrame& frame : series.frames) {
    for (const std::string& warning : frame.warnings) ++counts[warning];
    derived += frame.uid_derived;
  }
  for (const auto& [warning, count] : counts)
    series.warnings.push_back(
        fmt::format("{} ({} of {} images)", warning, count, series.frames.size()));
  if (series.first().series_uid.empty())
    series.warnings.push_back(
        "no SeriesInstanceUID: grouped by study, frame of reference and geometry");
  if (derived > 0)
    series.warnings.push_back(
        fmt::format("{} images have no SOPInstanceUID: derived from contents", derived));
  if (std::any_of(series.frames.begin(), series.frames.end(),
                  [](const DicomFrame& f) { return f.sop_class_uid.empty(); }))
    series.warnings.push_back("no SOPClassUID");
}

}  // namespace

std::vector<DicomSeries> GroupSeries(std::vector<DicomFrame> frames) {
  // By what is in the files, not by their names or order.
  std::sort(frames.begin(), frames.end(), [](const DicomFrame& a, const DicomFrame& b) {
    return std::tuple(Key(a), a.sop_instance_uid, a.number, a.position, a.file) <
           std::tuple(Key(b), b.sop_instance_uid, b.number, b.position, b.file);
  });
  std::vector<DicomSeries> planes;
  size_t begin_of_key = 0;
  for (DicomFrame& frame : frames) {
    if (begin_of_key < planes.size() && Key(planes[begin_of_key].first()) != Key(frame))
      begin_of_key = planes.size();
    const auto found =
        std::find_if(planes.begin() + static_cast<std::ptrdiff_t>(begin_of_key), planes.end(),
                     [&](const DicomSeries& s) { return SamePlane(s.first(), frame); });
    DicomSeries& series = found == planes.end() ? planes.emplace_back() : *found;
    series.id = frame.series_uid.empty() ? "unnamed" : frame.series_uid;
    series.localizer = IsLocalizer(frame);
    series.frames.push_back(std::move(frame));
  }

  std::vector<DicomSeries> result;
  for (DicomSeries& series : planes) {
    DropCopies(series);
    std::vector<DicomSeries> parts;
    if (HasTwoInOnePlace(series.frames)) parts = SplitByVariant(series);
    if (parts.empty()) parts.push_back(std::move(series));
    for (DicomSeries& part : parts) result.push_back(std::move(part));
  }
  std::map<std::string, int> uses;
  for (DicomSeries& series : result) {
    if (const int use = ++uses[series.id]; use > 1) series.id += fmt::format("/{}", use);
    SortByHeight(series.frames);
    MakeGrid(series);
    CollectWarnings(series);
  }
  return result;
}

std::string Describe(const DicomSeries& series, size_t number) {
  const DicomFrame& first = series.first();
  std::string name =
      first.series_description.empty() ? "without a description" : first.series_description;
  if (!series.variant.empty()) name += ", " + series.variant;
  return fmt::format("#{} {} ({}{}, {} slice{} of {}x{})", number, name,
                     first.modality.empty() ? "no modality" : first.modality,
                     series.localizer ? ", localizer" : "", series.frames.size(),
                     series.frames.size() == 1 ? "" : "s", first.columns, first.rows);
}

}  // namespace orchard::io
