#include "segment/label_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "io/medical/nifti.h"
#include "io/medical/orientation.h"
#include "io/medical/segmentation.h"
#include "io/printable.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;

bool IsLabelFile(const fs::path& path) {
  // What predict --qc writes beside label maps.
  if (path.parent_path().filename() == "qc" && CaseName(path).ends_with("_disagreement"))
    return false;
  if (path.extension() == ".dcm") return true;
  const fs::path base = path.extension() == ".gz" ? path.stem() : path;
  return io::IsNiftiName(path) && base.extension() != ".img";
}

[[noreturn]] void ThrowBadLabel(double value, const io::Grid& grid, int64_t voxel,
                                const fs::path& path) {
  const auto [ni, nj, nk] = grid.size;
  throw DataError(fmt::format("a label of {:g} at voxel ({}, {}, {})", value, voxel % ni,
                              voxel / ni % nj, voxel / ni / nj),
                  path.string(), "labels are whole numbers from 0 to 65535");
}

LabelMap ToLabels(const io::Volume& volume, const fs::path& path) {
  LabelMap map{.grid = volume.grid};
  map.labels.resize(static_cast<size_t>(volume.grid.Voxels()));
  io::VisitNumber(volume.dtype, [&]<class T>(T) {
    const std::span<const T> values = volume.Elements<T>();
    for (size_t v = 0; v < values.size(); ++v) {
      const double value = volume.slope * static_cast<double>(values[v]) + volume.intercept;
      if (!(value >= 0 && value <= 65535) || value != std::floor(value))
        ThrowBadLabel(value, volume.grid, static_cast<int64_t>(v), path);
      map.labels[v] = static_cast<uint16_t>(value);
    }
  });
  return map;
}

}  // namespace

LabelMap ReadLabelMap(const fs::path& path) {
  if (!io::IsNiftiName(path) && io::IsSegmentation(path)) {
    LabelMap map = ToLabels(io::ReadSegmentation(path).labels, path);
    map.part = true;
    return map;
  }
  return ToLabels(io::ReadNifti(path).volume, path);
}

LabelMap OnGrid(LabelMap map, const io::Grid& grid, const std::string& where) {
  const std::optional<io::AxisMap> turn = io::MatchGrids(map.grid, grid);
  if (turn && turn->identity()) return map;
  const std::optional<io::PartPlace> place =
      map.part && !turn ? io::FindPart(map.grid, grid) : std::nullopt;
  if (!turn && !place) {
    throw DataError(
        fmt::format(
            "the grids differ: {}x{}x{} voxels, the reference has {}x{}x{}, or another place",
            map.grid.size[0], map.grid.size[1], map.grid.size[2], grid.size[0], grid.size[1],
            grid.size[2]),
        where);
  }
  io::Volume volume = io::MakeVolume(map.grid, io::DType::kU16);
  std::copy(map.labels.begin(), map.labels.end(), volume.Elements<uint16_t>().begin());
  const io::Volume turned = place ? io::PutPart(volume, grid, *place) : io::Reorient(volume, *turn);
  const std::span<const uint16_t> labels = turned.Elements<uint16_t>();
  return {turned.grid, {labels.begin(), labels.end()}, false};
}

std::string CaseName(const fs::path& file) {
  fs::path name = file.filename();
  if (name.extension() == ".gz") name = name.stem();
  std::string id = name.stem().string();
  if (id.size() > 5 && id.ends_with("_0000")) id.resize(id.size() - 5);
  return id;
}

std::map<std::string, fs::path> FindCases(const fs::path& path) {
  std::map<std::string, fs::path> cases;
  if (fs::is_regular_file(path)) return {{CaseName(path), path}};
  if (!fs::is_directory(path)) throw DataError("no such file or folder", path.string());
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path))
    if (entry.is_regular_file() && IsLabelFile(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string parent = fs::relative(file.parent_path(), path).generic_string();
    const std::string id = (parent == "." ? "" : parent + "/") + CaseName(file);
    const auto [at, added] = cases.emplace(id, file);
    if (!added)
      throw UsageError("two files of one case", at->second.string() + " and " + file.string());
  }
  if (cases.empty()) throw DataError("no label maps or images", path.string());
  return cases;
}

std::map<int64_t, std::string> ParseNames(const std::vector<std::string>& names,
                                          const std::string& flag) {
  std::map<int64_t, std::string> result;
  for (const std::string& text : names) {
    const size_t equals = text.find('=');
    int64_t label = 0;
    const char* const end = text.data() + std::min(equals, text.size());
    const auto [at, error] = std::from_chars(text.data(), end, label);
    if (equals == std::string::npos || error != std::errc() || at != end || label < 1 ||
        equals + 1 == text.size())
      throw UsageError("not a label and its name: '" + text + "'", flag, "e.g. 1=anterior");
    result[label] = text.substr(equals + 1);
  }
  return result;
}

}  // namespace orchard::segment
