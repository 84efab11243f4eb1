// siamese-seg inspect: what images a file or folder holds, and what is odd about them.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/nifti.h"
#include "io/medical/segmentation.h"
#include "io/printable.h"
#include "siamese-seg/commands.h"
#include "siamese-seg/describe.h"

namespace orchard::siamese_seg {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct InspectOptions {
  fs::path path;
  std::string series;
  std::optional<int64_t> frame;
  bool values = true;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("path", path, "NIfTI file, DICOM file, or a folder of them");
    f("series", series, "one DICOM series: UID or its end, description, or #n of the list");
    f("frame", frame, "one volume of a 4-D NIfTI file, from 0", cli::AtLeast(0));
    f("values", values, "read the voxels too, for their range and to see that all are there");
  }
};

Json RangeJson(const io::ValueRange& range) {
  return {{"min", range.min},
          {"max", range.max},
          {"integral", range.integral},
          {"nan", range.not_a_number},
          {"infinite", range.infinite}};
}

void PrintWarnings(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) fmt::print("  warning: {}\n", warning);
}

// ---- NIfTI ----

Json InspectNiftiFile(const InspectOptions& options, const fs::path& path, bool print) {
  const io::NiftiFile file = io::InspectNifti(path);
  const io::NiftiHeader& h = file.header;
  const std::string type = io::NiftiDatatypeName(h.datatype);
  Json json = {{"path", path.string()},
               {"format", fmt::format("NIfTI-{}", h.version)},
               {"big_endian", h.big_endian}};
  json.update(GridJson(file.grid()));
  json["type"] = type;
  json["frames"] = h.frames();
  json["scl_slope"] = file.header.scl_slope;
  json["scl_inter"] = file.header.scl_inter;
  json["placed_by"] = file.place.form;
  json["sform_code"] = h.sform_code;
  json["qform_code"] = h.qform_code;
  json["intent_code"] = h.intent_code;
  json["warnings"] = file.warnings;
  if (print) {
    fmt::print("{}: NIfTI-{}{}, {}, {}{}\n", path.string(), h.version,
               h.big_endian ? " big-endian" : "", DescribeGrid(file.grid()), type,
               h.frames() > 1 ? fmt::format(", {} volumes", h.frames()) : "");
    fmt::print("  placed by the {} (sform_code {}, qform_code {}){}\n", file.place.form,
               h.sform_code, h.qform_code,
               h.intent_code == io::kNiftiIntentLabel ? ", a label map" : "");
    PrintWarnings(file.warnings);
  }
  const bool one = h.frames() == 1 || options.frame;
  if (options.values && one && io::NiftiElementType(h.datatype)) {
    const io::NiftiImage image = io::ReadNifti(path, options.frame);
    const io::ValueRange range = io::FindRange(image.volume);
    json["values"] = RangeJson(range);
    if (print) fmt::print("  values {}\n", DescribeRange(range));
  }
  return json;
}

// ---- DICOM ----

Json SeriesJson(const io::DicomSeries& series, size_t number) {
  const io::DicomFrame& first = series.first();
  Json json = {{"number", number},
               {"id", series.id},
               {"description", first.series_description},
               {"variant", series.variant},
               {"modality", first.modality},
               {"localizer", series.localizer},
               {"images", series.frames.size()},
               {"series_number", first.series_number},
               {"sop_class_uid", first.sop_class_uid},
               {"transfer_syntax_uid", first.transfer_syntax_uid}};
  if (series.problem.empty()) json.update(GridJson(series.grid));
  json["uniform"] = series.uniform;
  json["tilt_degrees"] = series.tilt_degrees;
  json["warnings"] = series.warnings;
  json["gap"] = series.gap;
  json["problem"] = series.problem;
  return json;
}

void PrintSeries(const io::DicomSeries& series, size_t number) {
  fmt::print("{}\n", io::Describe(series, number));
  fmt::print("  id {}\n", series.id);
  if (series.problem.empty()) fmt::print("  {}\n", DescribeGrid(series.grid));
  PrintWarnings(series.warnings);
  if (!series.gap.empty()) fmt::print("  gap: {}\n", series.gap);
  if (!series.problem.empty()) fmt::print("  problem: {}\n", series.problem);
}

// Files without an image: one line for each reason, other kinds of files counted.
Json SkippedJson(const std::vector<io::SkippedFile>& skipped, bool print) {
  Json list = Json::array();
  std::map<std::string, std::vector<std::string>> by_reason;
  int64_t others = 0;
  for (const io::SkippedFile& file : skipped) {
    if (file.reason == io::SkipReason::kNotDicom) {
      ++others;
      continue;
    }
    by_reason[file.why].push_back(file.file.filename().string());
    list.push_back({{"file", file.file.string()},
                    {"why", file.why},
                    {"damaged", file.reason == io::SkipReason::kDamaged}});
  }
  if (print) {
    for (const auto& [why, names] : by_reason)
      fmt::print("skipped: {} ({}{})\n", io::Printable(names.front()), why,
                 names.size() > 1 ? fmt::format("; and {} more", names.size() - 1) : "");
    if (others > 0) fmt::print("{} other files\n", others);
  }
  return list;
}

Json InspectDicom(const InspectOptions& options, const io::DicomScan& scan, int threads,
                  bool print) {
  Json list = Json::array();
  const io::DicomSeries* chosen = nullptr;
  if (!options.series.empty() || scan.series.size() == 1)
    chosen = &io::ChooseSeries(scan, options.series, options.path.string());
  for (size_t i = 0; i < scan.series.size(); ++i) {
    const io::DicomSeries& series = scan.series[i];
    if (!options.series.empty() && &series != chosen) continue;
    Json json = SeriesJson(series, i + 1);
    if (print) PrintSeries(series, i + 1);
    if (&series == chosen && options.values && series.problem.empty()) {
      const io::DicomVolume read =
          io::ReadDicomVolume(series, {.allow_gaps = true, .threads = threads});
      const io::ValueRange range = io::FindRange(read.volume);
      json["type"] = TypeName(read.volume.dtype);
      json["values"] = RangeJson(range);
      if (print) fmt::print("  values {}, {}\n", DescribeRange(range), TypeName(read.volume.dtype));
      for (const std::string& warning : read.warnings) {
        if (std::find(series.warnings.begin(), series.warnings.end(), warning) !=
            series.warnings.end())
          continue;
        json["warnings"].push_back(warning);
        if (print) fmt::print("  warning: {}\n", warning);
      }
    }
    list.push_back(json);
  }
  Json json = {{"path", options.path.string()}, {"format", "DICOM"}, {"series", list}};
  json["skipped"] = SkippedJson(scan.skipped, print);
  return json;
}

Json InspectSegmentation(const fs::path& path, bool print) {
  const io::Segmentation seg = io::ReadSegmentation(path);
  const io::Vec3 spacing = seg.labels.grid.affine.Spacing();
  const double millilitres = spacing[0] * spacing[1] * spacing[2] / 1000;
  std::map<int64_t, int64_t> voxels;
  io::VisitNumber(seg.labels.dtype, [&]<class T>(T) {
    for (T value : seg.labels.Elements<T>()) ++voxels[static_cast<int64_t>(value)];
  });
  Json json = {
      {"path", path.string()}, {"format", "DICOM segmentation"}, {"description", seg.description}};
  json.update(GridJson(seg.labels.grid));
  Json list = Json::array();
  if (print)
    fmt::print("{}: DICOM segmentation, {}\n", path.string(), DescribeGrid(seg.labels.grid));
  for (const io::Segment& segment : seg.segments) {
    const double volume = static_cast<double>(voxels[segment.label]) * millilitres;
    list.push_back({{"label", segment.label},
                    {"name", segment.name},
                    {"type", segment.type.meaning},
                    {"voxels", voxels[segment.label]},
                    {"millilitres", volume}});
    if (print)
      fmt::print("  {} {} ({}): {} voxels, {:.3f} mL\n", segment.label, segment.name,
                 segment.type.meaning, voxels[segment.label], volume);
  }
  json["segments"] = list;
  json["warnings"] = seg.warnings;
  if (print) PrintWarnings(seg.warnings);
  return json;
}

// ---- a folder ----

Json InspectFolder(const InspectOptions& options, int threads, bool print) {
  io::DicomScan scan = io::ScanDicom(options.path, threads);
  std::vector<fs::path> nifti;
  std::erase_if(scan.skipped, [&](const io::SkippedFile& file) {
    const bool is_nifti = file.reason == io::SkipReason::kNotDicom && io::IsNiftiName(file.file);
    if (is_nifti) nifti.push_back(file.file);
    return is_nifti;
  });
  const bool any_dicom = std::any_of(
      scan.skipped.begin(), scan.skipped.end(),
      [](const io::SkippedFile& file) { return file.reason != io::SkipReason::kNotDicom; });
  if (scan.series.empty() && nifti.empty() && !any_dicom)
    throw DataError("no medical image", options.path.string());
  Json json = InspectDicom(options, scan, threads, print);
  if (nifti.empty()) return json;
  json["format"] = scan.series.empty() ? "NIfTI" : "DICOM and NIfTI";
  json["files"] = Json::array();
  InspectOptions quick = options;
  quick.values = false;
  for (const fs::path& path : nifti) {
    try {
      json["files"].push_back(InspectNiftiFile(quick, path, print));
    } catch (const DataError& error) {
      json["files"].push_back({{"path", path.string()}, {"error", error.what()}});
      if (print) fmt::print("{}\n", error.what());
    }
  }
  return json;
}

int RunInspect(const InspectOptions& options, const cli::Context& context) {
  const bool print = !context.common.json;
  const int threads = context.common.Threads();
  if (!fs::exists(options.path)) throw DataError("no such file or folder", options.path.string());
  Json json;
  if (fs::is_directory(options.path)) {
    json = InspectFolder(options, threads, print);
  } else if (io::IsNiftiName(options.path)) {
    json = InspectNiftiFile(options, options.path, print);
  } else if (io::IsSegmentation(options.path)) {
    json = InspectSegmentation(options.path, print);
  } else {
    const io::DicomScan scan = io::ScanDicom(options.path, threads);
    if (scan.series.empty()) throw DataError(scan.skipped.front().why, options.path.string());
    json = InspectDicom(options, scan, threads, print);
  }
  if (context.common.json) fmt::print("{}\n", Dump(json));
  return 0;
}

}  // namespace

void AddInspect(cli::Program& program) {
  program.Add<InspectOptions>(
      {.name = "inspect",
       .summary = "shows what images a file or folder holds, where they lie, and what is odd",
       .example = "siamese-seg inspect data/medical/mr_dicom"},
      RunInspect);
}

}  // namespace orchard::siamese_seg
