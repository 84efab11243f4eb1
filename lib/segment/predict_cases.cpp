#include "segment/predict_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/number_format.h"
#include "io/medical/dicom_volume.h"
#include "io/medical/nifti.h"
#include "run/shard.h"
#include "segment/dataset.h"
#include "segment/failures.h"
#include "segment/finite_values.h"
#include "segment/prediction_files.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;

// One scan to segment: NIfTI files, a channel each, or a DICOM series.
struct Task {
  std::string id;
  std::vector<fs::path> files;
  const io::DicomSeries* series = nullptr;
  fs::path input;
};

// Letters, digits, '-', '_' and '.' of a name.
std::string Plain(std::string name) {
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  }
  return name.substr(0, 100);
}

std::string SeriesName(const fs::path& folder, const io::DicomSeries& series, size_t count) {
  std::string name = folder.filename().empty() ? folder.parent_path().filename().string()
                                               : folder.filename().string();
  if (count > 1) {
    const io::DicomFrame& first = series.first();
    name += fmt::format("_{:03d}_{}", std::max<int64_t>(0, first.series_number),
                        first.series_description);
    if (!series.variant.empty()) name += "_" + series.variant;
  }
  return Plain(name);
}

// The tasks of one input; `scans` keeps the series that tasks point to.
void FindTasks(const fs::path& input, const PredictOptions& options, size_t channels, int threads,
               std::vector<std::unique_ptr<io::DicomScan>>& scans, std::vector<Task>& tasks) {
  if (!fs::exists(input)) throw DataError("no such file or folder", input.string());
  if (fs::is_regular_file(input) && io::IsNiftiName(input)) {
    tasks.push_back({CaseId(input), {input}, nullptr, input});
    return;
  }
  scans.push_back(std::make_unique<io::DicomScan>(io::ScanDicom(input, threads)));
  const io::DicomScan& scan = *scans.back();
  std::map<std::string, std::vector<fs::path>> nifti;
  for (const io::SkippedFile& file : scan.skipped) {
    const std::string name = file.file.filename().string();
    const bool voxels_apart = name.ends_with(".img") || name.ends_with(".img.gz");
    if (file.reason != io::SkipReason::kNotDicom || !io::IsNiftiName(file.file) || voxels_apart)
      continue;
    // With one channel a number at the end may be the case's own.
    const bool numbered = channels > 1 || name.find("_0000.") != std::string::npos;
    std::string id = CaseId(file.file);
    if (!numbered) id = name.substr(0, name.find(".nii"));
    nifti[id].push_back(file.file);
  }
  for (auto& [id, files] : nifti) {
    std::sort(files.begin(), files.end());
    tasks.push_back({id, files, nullptr, files.front()});
  }
  if (!options.series.empty()) {
    const io::DicomSeries& series = io::ChooseSeries(scan, options.series, input.string());
    tasks.push_back({SeriesName(input, series, scan.series.size()), {}, &series, input});
    return;
  }
  const auto images = static_cast<size_t>(std::count_if(
      scan.series.begin(), scan.series.end(), [](const auto& s) { return !s.localizer; }));
  for (const io::DicomSeries& series : scan.series) {
    if (!series.localizer) tasks.push_back({SeriesName(input, series, images), {}, &series, input});
  }
}

run::Shard ShardOf(const PredictOptions& options) {
  const run::Shard shard = run::ParseShard(options.shard, "--shard");
  if (!shard.IsWhole()) return shard;
  const char* const rank = std::getenv("SLURM_PROCID");
  const char* const ranks = std::getenv("SLURM_NTASKS");
  if (rank == nullptr || ranks == nullptr || std::atoll(ranks) < 2) return shard;
  return {std::atoll(rank) + 1, std::atoll(ranks)};
}

void Run(const Task& task, const PredictOptions& options, const PredictFlags& flags,
         const std::vector<LabelName>& labels, size_t channels, const SegmentScan& segment,
         PredictedCase& result) {
  std::vector<io::Volume> volumes;
  std::optional<io::NiftiHeader> header;
  if (task.series != nullptr) {
    io::DicomVolume read = io::ReadDicomVolume(*task.series, {.threads = flags.threads});
    volumes.push_back(std::move(read.volume));
    result.warnings = std::move(read.warnings);
  } else {
    if (options.format != LabelFormat::kNifti) {
      throw UsageError("a DICOM segmentation lies on a DICOM series", task.input.string());
    }
    for (const fs::path& file : task.files) {
      io::NiftiImage image = io::ReadNifti(file, options.frame);
      result.warnings.insert(result.warnings.end(), image.warnings.begin(), image.warnings.end());
      if (!header) header = image.header;
      volumes.push_back(std::move(image.volume));
    }
  }
  if (volumes.size() != channels) {
    throw DataError(fmt::format("{} channels where the model has {}", volumes.size(), channels),
                    task.input.string());
  }
  for (io::Volume& volume : volumes) {
    const int64_t count = options.fix ? ReplaceNotFinite(volume) : 0;
    if (count > 0) {
      result.warnings.push_back(fmt::format(
          "{} values that are no numbers are taken for the smallest", FormatInteger(count)));
    }
  }
  SegmentedScan scan = segment(volumes, task.id, task.input.string());
  result.templates = scan.templates;
  result.seconds = scan.seconds;
  result.warnings.insert(result.warnings.end(), scan.warnings.begin(), scan.warnings.end());
  result.voxels.assign(labels.size(), 0);
  for (const uint8_t v : scan.labels.Elements<uint8_t>()) {
    if (v > 0 && v <= labels.size()) ++result.voxels[v - 1u];
  }
  fs::path beside = flags.out / task.id;
  if (!scan.probabilities.empty())
    WriteProbabilities(beside.concat(".probs.h5"), scan.probabilities, labels);
  if (options.overlay) {
    beside = flags.out / task.id;
    WriteOverlay(beside.concat(".png"), std::move(volumes.front()), scan.labels, labels);
  }
  if (options.format == LabelFormat::kNifti) {
    io::NiftiWriteOptions write{.intent_code = io::kNiftiIntentLabel, .threads = flags.threads};
    const bool placed =
        header && (header->xyzt_units & 7) == 2 && header->qform_code + header->sform_code > 0;
    if (placed) write.like = &*header;
    io::WriteNifti(result.output, scan.labels, write);
    return;
  }
  io::SegmentationOptions write;
  for (const LabelName& label : labels) write.segments.push_back({label.value, label.name});
  write.deterministic = flags.deterministic;
  if (options.format == LabelFormat::kLabelMapSeg) write.kind = io::SegmentationKind::kLabelMap;
  io::WriteSegmentation(result.output, scan.labels, *task.series, write);
}

std::vector<Failure> FailuresOf(const std::vector<PredictedCase>& cases) {
  std::vector<Failure> failures;
  for (const PredictedCase& c : cases) {
    if (!c.error.empty()) failures.push_back({c.id, c.input, c.error, c.exit_code});
  }
  return failures;
}

}  // namespace

std::vector<PredictedCase> PredictCases(const PredictOptions& options, const PredictFlags& flags,
                                        const std::vector<LabelName>& labels, size_t channels,
                                        const SegmentScan& segment) {
  std::vector<std::unique_ptr<io::DicomScan>> scans;
  std::vector<Task> tasks;
  for (const fs::path& input : options.inputs) {
    FindTasks(input, options, channels, flags.threads, scans, tasks);
  }
  if (tasks.empty()) throw DataError("no image to segment", options.inputs.front().string());
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    return std::tie(a.id, a.input) < std::tie(b.id, b.input);
  });
  std::map<std::string, int> uses;
  for (Task& task : tasks)
    if (const int use = ++uses[task.id]; use > 1) task.id += fmt::format("-{}", use);
  std::error_code error;
  fs::create_directories(flags.out, error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), flags.out.string());
  const run::Shard shard = ShardOf(options);
  const char* const ending = options.format == LabelFormat::kNifti ? ".nii.gz" : ".dcm";
  std::vector<PredictedCase> cases;
  for (size_t n = 0; n < tasks.size(); ++n) {
    if (!shard.Takes(static_cast<int64_t>(n))) continue;
    const Task& task = tasks[n];
    PredictedCase& result = cases.emplace_back();
    result.id = task.id;
    result.input = task.input;
    result.output = flags.out / (task.id + ending);
    if (!flags.force && fs::exists(result.output)) {
      result.kept = true;
      continue;
    }
    try {
      Run(task, options, flags, labels, channels, segment, result);
    } catch (const ResourceError&) {
      throw;
    } catch (const Error& failure) {
      result.error = failure.what();
      result.exit_code = static_cast<int>(failure.code());
    }
  }
  WriteFailures(flags.out, FailuresOf(cases));
  return cases;
}

}  // namespace orchard::segment
