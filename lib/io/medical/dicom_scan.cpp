#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/medical/dicom_library.h"
#include "io/medical/dicom_series.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> FilesBelow(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) throw DataError("no such file or folder", path.string());
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (auto at = fs::recursive_directory_iterator(
           path, fs::directory_options::skip_permission_denied, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at->is_regular_file(error) && at->path().filename() != "DICOMDIR")
      files.push_back(at->path());
  }
  if (error) throw DataError("the folder cannot be read: " + error.message(), path.string());
  std::sort(files.begin(), files.end());
  return files;
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

bool Fits(const DicomSeries& series, size_t number, const std::string& wanted) {
  const std::string& uid = series.first().series_uid;
  return series.id == wanted || uid == wanted || wanted == fmt::format("#{}", number) ||
         (wanted.size() >= 4 && uid.ends_with(wanted)) ||
         Upper(series.first().series_description) == Upper(wanted);
}

std::string ListSeries(const DicomScan& scan) {
  constexpr size_t kMost = 8;
  std::string list;
  for (size_t i = 0; i < std::min(kMost, scan.series.size()); ++i)
    list += (i ? "; " : "") + Describe(scan.series[i], i + 1);
  if (scan.series.size() > kMost) list += fmt::format("; and {} more", scan.series.size() - kMost);
  return list;
}

[[noreturn]] void ThrowNothingThere(const DicomScan& scan, const std::string& where) {
  for (const SkippedFile& file : scan.skipped) {
    if (file.reason != SkipReason::kNotDicom)
      throw DataError(file.why, file.file.string(), "no other file there holds an image");
  }
  throw DataError("no DICOM image", where);
}

}  // namespace

DicomScan ScanDicom(const fs::path& path, int threads) {
  StartDicomLibrary();
  const std::vector<fs::path> files = FilesBelow(path);
  std::vector<DicomFile> read(files.size());
  ThreadPool pool(threads);
  pool.ForEach(static_cast<int64_t>(files.size()), [&](int64_t i) {
    read[static_cast<size_t>(i)] = ReadDicomFile(files[static_cast<size_t>(i)]);
  });
  DicomScan scan;
  std::vector<DicomFrame> frames;
  for (DicomFile& file : read) {
    if (file.frames.empty()) scan.skipped.push_back(std::move(file.skipped));
    for (DicomFrame& frame : file.frames) frames.push_back(std::move(frame));
  }
  scan.series = GroupSeries(std::move(frames));
  return scan;
}

const DicomSeries& ChooseSeries(const DicomScan& scan, const std::string& wanted,
                                const std::string& where) {
  if (scan.series.empty()) ThrowNothingThere(scan, where);
  const DicomSeries* found = nullptr;
  size_t fitting = 0;
  for (size_t i = 0; i < scan.series.size(); ++i) {
    const DicomSeries& series = scan.series[i];
    if (wanted.empty() ? series.localizer && scan.series.size() > 1 : !Fits(series, i + 1, wanted))
      continue;
    ++fitting;
    if (!found) found = &series;
  }
  if (fitting == 1) return *found;
  const std::string what =
      wanted.empty() ? fmt::format("{} series where one is wanted", scan.series.size())
      : fitting == 0 ? "no series " + Quoted(wanted)
                     : fmt::format("{} series fit {}", fitting, Quoted(wanted));
  throw DataError(what, where, "choose with --series: " + ListSeries(scan));
}

}  // namespace orchard::io
