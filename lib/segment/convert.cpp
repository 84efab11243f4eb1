#include "segment/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/error.h"
#include "base/number_format.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/nifti.h"
#include "io/medical/orientation.h"
#include "io/medical/segmentation.h"
#include "segment/failures.h"
#include "segment/finite_values.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;

bool WantsSegmentation(const ConvertOptions& options) {
  if (options.to == ImageFormat::kAuto) return options.output.extension() == ".dcm";
  return options.to != ImageFormat::kNifti;
}

// What was read, and how a NIfTI file should describe it.
struct Source {
  io::Volume volume;
  io::NiftiWriteOptions write;
  std::optional<io::NiftiHeader> header;  // of a NIfTI file
  std::vector<std::string> warnings;
};

Source ReadNiftiSource(const fs::path& path, const ConvertOptions& options) {
  io::NiftiImage image = io::ReadNifti(path, options.frame);
  Source source{.volume = std::move(image.volume)};
  source.warnings = std::move(image.warnings);
  source.header = image.header;
  if (const int64_t count = options.fix ? ReplaceNotFinite(source.volume) : 0; count > 0) {
    source.warnings.push_back(
        fmt::format("{} values that are no numbers became the smallest", FormatInteger(count)));
  }
  source.write.form_code = std::max({image.header.sform_code, image.header.qform_code, 1});
  source.write.intent_code =
      image.header.intent_code == io::kNiftiIntentLabel ? io::kNiftiIntentLabel : 0;
  return source;
}

Source ReadSeriesSource(const io::DicomSeries& series, const ConvertOptions& options,
                        const ConvertFlags& flags) {
  io::DicomVolume read =
      io::ReadDicomVolume(series, {.allow_gaps = options.allow_gaps, .threads = flags.threads});
  Source source{.volume = std::move(read.volume)};
  source.warnings = std::move(read.warnings);
  if (options.upright) source.volume = io::RemoveShear(source.volume);
  return source;
}

// On the grid of the series that --reference names: a segmentation leaves out slices without a
// label.
void PutOnReference(const ConvertOptions& options, const ConvertFlags& flags, io::Volume& labels) {
  const io::DicomScan scan = io::ScanDicom(*options.reference, flags.threads);
  const io::Grid& grid = io::ChooseSeries(scan, options.series, options.reference->string()).grid;
  const std::optional<io::PartPlace> place = io::FindPart(labels.grid, grid);
  if (!place) {
    const auto& own = labels.grid.size;
    throw DataError(fmt::format("the segmentation is not on the grid of the series: {}x{}x{} "
                                "voxels, the series has {}x{}x{}, or another place",
                                own[0], own[1], own[2], grid.size[0], grid.size[1], grid.size[2]),
                    options.input.string());
  }
  labels = io::PutPart(labels, grid, *place);
}

Source ReadSegmentationSource(const fs::path& path, const ConvertOptions& options,
                              const ConvertFlags& flags) {
  io::Segmentation read = io::ReadSegmentation(path);
  if (options.reference) PutOnReference(options, flags, read.labels);
  Source source{.volume = std::move(read.labels)};
  source.warnings = std::move(read.warnings);
  source.write.intent_code = io::kNiftiIntentLabel;
  return source;
}

void CheckOutput(const fs::path& output, const ConvertFlags& flags) {
  if (fs::is_directory(output))
    throw UsageError("a folder where a file is wanted", output.string());
  if (fs::exists(output) && !flags.force)
    throw UsageError("the file exists", output.string(), "--force replaces it");
  if (flags.dry_run) return;
  std::error_code error;
  if (output.has_parent_path()) fs::create_directories(output.parent_path(), error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), output.string());
}

// Writes NIfTI; fills what the case reports.
void WriteNiftiCase(Source source, const ConvertOptions& options, const ConvertFlags& flags,
                    ConvertedCase& result) {
  const io::AxisMap map =
      options.canonical ? io::ClosestCanonical(source.volume.grid.affine) : io::AxisMap{};
  io::NiftiWriteOptions write = source.write;
  write.threads = flags.threads;
  // Axes that stay keep the header's own forms to the bit, unless it counts in another unit.
  if (map.identity() && source.header && (source.header->xyzt_units & 7) == 2 &&
      source.header->qform_code + source.header->sform_code > 0)
    write.like = &*source.header;
  const io::Volume volume = io::Reorient(source.volume, map);
  result.grid = volume.grid;
  result.dtype = volume.dtype;
  result.warnings.insert(result.warnings.end(), source.warnings.begin(), source.warnings.end());
  if (!flags.dry_run) io::WriteNifti(result.output, volume, write);
}

std::vector<io::Segment> NamedSegments(const std::vector<std::string>& labels) {
  std::vector<io::Segment> segments;
  for (const std::string& text : labels) {
    const size_t equals = text.find('=');
    io::Segment segment;
    const char* end = text.data() + std::min(equals, text.size());
    const auto [at, error] = std::from_chars(text.data(), end, segment.label);
    if (equals == std::string::npos || error != std::errc() || at != end ||
        equals + 1 == text.size() || segment.label < 1 || segment.label > 65535)
      throw UsageError("not a label and its name: '" + text + "'", "--labels", "e.g. 1=anterior");
    segment.name = text.substr(equals + 1);
    segments.push_back(segment);
  }
  return segments;
}

ConvertedCase ConvertToSegmentation(const ConvertOptions& options, const ConvertFlags& flags) {
  if (!options.reference) {
    throw UsageError("a DICOM-SEG lies on a DICOM series", "--reference",
                     "name the folder of its images");
  }
  if (!io::IsNiftiName(options.input))
    throw UsageError("a label map in NIfTI is wanted", options.input.string());
  ConvertedCase result{
      .name = options.input.stem().string(), .input = options.input, .output = options.output};
  CheckOutput(result.output, flags);
  io::SegmentationOptions segmentation;
  segmentation.segments = NamedSegments(options.labels);
  segmentation.deterministic = flags.deterministic;
  if (options.to == ImageFormat::kLabelMapSeg) segmentation.kind = io::SegmentationKind::kLabelMap;
  const Source source = ReadNiftiSource(options.input, options);
  const io::DicomScan scan = io::ScanDicom(*options.reference, flags.threads);
  const io::DicomSeries& series =
      io::ChooseSeries(scan, options.series, options.reference->string());
  result.warnings = source.warnings;
  result.warnings.insert(result.warnings.end(), series.warnings.begin(), series.warnings.end());
  result.grid = source.volume.grid;
  result.dtype = source.volume.dtype;
  if (!flags.dry_run) io::WriteSegmentation(result.output, source.volume, series, segmentation);
  return result;
}

// Files that say they are DICOM and cannot be read. Any may be a slice of the series that is
// wanted: at its end it would leave no gap. So they are refused, or, with gaps allowed, a warning
// each.
std::vector<std::string> DamagedFiles(const io::DicomScan& scan, const ConvertOptions& options) {
  std::vector<std::string> lines;
  for (const io::SkippedFile& file : scan.skipped) {
    if (file.reason != io::SkipReason::kDamaged) continue;
    if (!options.allow_gaps) {
      throw DataError(file.why, file.file.string(),
                      "it may be a slice of the series; --allow-gaps goes on without it");
    }
    lines.push_back(file.file.filename().string() + ": " + file.why);
  }
  return lines;
}

Source ReadSingle(const ConvertOptions& options, const ConvertFlags& flags) {
  const bool nifti = io::IsNiftiName(options.input) && !fs::is_directory(options.input);
  if (!nifti && fs::is_regular_file(options.input) && io::IsSegmentation(options.input))
    return ReadSegmentationSource(options.input, options, flags);
  if (options.reference)
    throw UsageError("the input is no DICOM segmentation", "--reference", "leave it out");
  if (nifti) return ReadNiftiSource(options.input, options);
  const io::DicomScan scan = io::ScanDicom(options.input, flags.threads);
  const io::DicomSeries& series = io::ChooseSeries(scan, options.series, options.input.string());
  std::vector<std::string> damaged = DamagedFiles(scan, options);
  Source source = ReadSeriesSource(series, options, flags);
  source.warnings.insert(source.warnings.end(), damaged.begin(), damaged.end());
  return source;
}

// Letters, digits, '-' and '_' of a description.
std::string FileName(const io::DicomSeries& series) {
  const io::DicomFrame& first = series.first();
  std::string name = first.series_number > 0 ? fmt::format("{:03d}_", first.series_number) : "";
  name += first.series_description.empty() ? "series" : first.series_description;
  if (!series.variant.empty()) name += "_" + series.variant;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '_';
  return name.substr(0, 100);
}

std::string WithoutNiftiEnding(std::string name) {
  for (const char* ending : {".gz", ".nii", ".hdr", ".img"}) {
    if (fs::path(name).extension() == ending)
      name.resize(name.size() - std::string_view(ending).size());
  }
  return name;
}

// One case of a folder: how it is called, and how it is read.
struct Task {
  std::string name;
  fs::path input;
  const io::DicomSeries* series = nullptr;  // null: a NIfTI file or a segmentation
  std::string damaged;                      // a DICOM file that cannot be read: why
};

std::vector<Task> FindTasks(const fs::path& folder, const io::DicomScan& scan) {
  std::vector<Task> tasks;
  for (const io::DicomSeries& series : scan.series) {
    if (series.localizer) continue;
    const fs::path parent = fs::relative(series.first().file.parent_path(), folder);
    const std::string name = (parent / FileName(series)).lexically_normal().string();
    tasks.push_back({name, series.first().file.parent_path(), &series, ""});
  }
  for (const io::SkippedFile& file : scan.skipped) {
    const std::string relative = fs::relative(file.file, folder).string();
    if (file.reason == io::SkipReason::kDamaged) {
      tasks.push_back({relative, file.file, nullptr, file.why});
    } else if (file.reason == io::SkipReason::kSegmentation) {
      tasks.push_back({fs::path(relative).replace_extension().string(), file.file, nullptr, ""});
    } else if (file.reason == io::SkipReason::kNotDicom && io::IsNiftiName(file.file)) {
      const std::string ending = file.file.extension() == ".gz"
                                     ? file.file.stem().extension().string()
                                     : file.file.extension().string();
      if (ending != ".img")  // read with its header
        tasks.push_back({WithoutNiftiEnding(relative), file.file, nullptr, ""});
    }
  }
  std::sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    return std::tie(a.name, a.input) < std::tie(b.name, b.input);
  });
  std::map<std::string, int> uses;
  for (Task& task : tasks)
    if (const int use = ++uses[task.name]; use > 1) task.name += fmt::format("-{}", use);
  return tasks;
}

void RunTask(const Task& task, const ConvertOptions& options, const ConvertFlags& flags,
             ConvertedCase& result) {
  if (!task.damaged.empty()) throw DataError(task.damaged, task.input.string());
  CheckOutput(result.output, flags);
  Source source = task.series ? ReadSeriesSource(*task.series, options, flags)
                  : io::IsNiftiName(task.input)
                      ? ReadNiftiSource(task.input, options)
                      : ReadSegmentationSource(task.input, options, flags);
  WriteNiftiCase(std::move(source), options, flags, result);
}

std::vector<Failure> FailuresOf(const std::vector<ConvertedCase>& cases) {
  std::vector<Failure> failures;
  for (const ConvertedCase& c : cases) {
    if (!c.error.empty()) failures.push_back({c.name, c.input, c.error, c.exit_code});
  }
  return failures;
}

std::vector<ConvertedCase> ConvertFolder(const ConvertOptions& options, const ConvertFlags& flags) {
  const io::DicomScan scan = io::ScanDicom(options.input, flags.threads);
  std::vector<Task> tasks = FindTasks(options.input, scan);
  if (!options.series.empty()) {
    const io::DicomSeries* wanted = &io::ChooseSeries(scan, options.series, options.input.string());
    std::erase_if(tasks, [&](const Task& task) { return task.series != wanted; });
  }
  if (tasks.empty()) throw DataError("no image to convert", options.input.string());
  std::vector<ConvertedCase> cases;
  for (const Task& task : tasks) {
    ConvertedCase& result = cases.emplace_back();
    result.name = task.name;
    result.input = task.input;
    result.output = options.output / (task.name + ".nii.gz");
    if (flags.resume && task.damaged.empty() && fs::exists(result.output)) {
      result.warnings.push_back("exists: left as it is");
      result.grid = io::InspectNifti(result.output).grid();
      continue;
    }
    try {
      RunTask(task, options, flags, result);
    } catch (const ResourceError&) {
      throw;
    } catch (const Error& error) {
      result.error = error.what();
      result.exit_code = static_cast<int>(error.code());
    }
  }
  if (!flags.dry_run) WriteFailures(options.output, FailuresOf(cases));
  return cases;
}

}  // namespace

bool NamesOneFile(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".nii") || name.ends_with(".nii.gz") || name.ends_with(".dcm");
}

std::vector<ConvertedCase> Convert(const ConvertOptions& options, const ConvertFlags& flags) {
  if (!fs::exists(options.input)) throw DataError("no such file or folder", options.input.string());
  if (WantsSegmentation(options)) {
    if (!NamesOneFile(options.output))
      throw UsageError("a DICOM-SEG is one file", options.output.string(), "name it .dcm");
    return {ConvertToSegmentation(options, flags)};
  }
  if (!NamesOneFile(options.output)) {
    if (!fs::is_directory(options.input)) {
      throw UsageError("the output is named like a folder, and the input is a file",
                       options.output.string(), "name it .nii.gz");
    }
    if (options.reference)
      throw UsageError("one segmentation lies on a reference, not a folder", "--reference");
    return ConvertFolder(options, flags);
  }
  ConvertedCase result{
      .name = options.input.filename().string(), .input = options.input, .output = options.output};
  CheckOutput(result.output, flags);
  WriteNiftiCase(ReadSingle(options, flags), options, flags, result);
  return {result};
}

}  // namespace orchard::segment
