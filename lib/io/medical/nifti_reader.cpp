#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "io/gzip_source.h"
#include "io/mapped_file.h"
#include "io/medical/nifti.h"

namespace orchard::io {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The name without the ending `from`, in any case, and with `to` instead; nothing when it has
// another.
std::optional<std::filesystem::path> WithEnding(const std::filesystem::path& path,
                                                const std::string& from, const std::string& to) {
  const std::string name = path.string();
  if (name.size() <= from.size() || !Lower(name).ends_with(from)) return std::nullopt;
  return name.substr(0, name.size() - from.size()) + to;
}

// The header of a pair when `path` is its voxels.
std::filesystem::path HeaderPath(const std::filesystem::path& path) {
  for (const char* gz : {"", ".gz"}) {
    const auto stem = WithEnding(path, std::string(".img") + gz, "");
    if (!stem) continue;
    for (const char* ending : {".hdr", ".hdr.gz"}) {
      std::filesystem::path header = stem->string() + ending;
      if (std::filesystem::exists(header)) return header;
    }
    throw DataError("voxels without a header", path.string(), "the .hdr file is missing");
  }
  return path;
}

std::filesystem::path VoxelsPath(const std::filesystem::path& header) {
  for (const char* gz : {"", ".gz"}) {
    const auto stem = WithEnding(header, std::string(".hdr") + gz, "");
    if (!stem) continue;
    for (const char* ending : {".img", ".img.gz"}) {
      std::filesystem::path voxels = stem->string() + ending;
      if (std::filesystem::exists(voxels)) return voxels;
    }
  }
  throw DataError("header without voxels", header.string(), "the .img file is missing");
}

NiftiFile ReadHeader(GzipSource& source, const std::filesystem::path& path) {
  std::vector<std::byte> bytes(kNifti2HeaderBytes);
  bytes.resize(source.Read(bytes));
  NiftiFile file;
  file.header = ParseNiftiHeader(bytes, path.string());
  file.place = PlaceNifti(file.header, path.string());
  file.warnings = file.place.warnings;
  const double slope = file.header.scl_slope, inter = file.header.scl_inter;
  if (slope != 0 && (!std::isfinite(slope) || !std::isfinite(inter)))
    file.warnings.push_back("scl_slope or scl_inter is not finite: values are taken as stored");
  return file;
}

void Skip(GzipSource& source, uint64_t bytes, const std::string& where) {
  std::vector<std::byte> scratch(static_cast<size_t>(std::min<uint64_t>(bytes, 1 << 20)));
  while (bytes > 0) {
    const size_t count =
        source.Read(std::span(scratch).first(std::min<size_t>(scratch.size(), bytes)));
    if (count == 0) throw DataError("NIfTI file is cut short before its voxels", where);
    bytes -= count;
  }
}

void SwapElements(std::vector<std::byte>& bytes, size_t size) {
  for (auto at = bytes.begin(); at != bytes.end(); at += static_cast<std::ptrdiff_t>(size))
    std::reverse(at, at + static_cast<std::ptrdiff_t>(size));
}

// Reads the volume out of `source`, of which nothing was read yet.
void ReadVoxels(NiftiImage& image, GzipSource& source, int64_t frame, const std::string& where) {
  const NiftiHeader& h = image.header;
  const DType dtype = *NiftiElementType(h.datatype);
  const Grid grid = image.grid();
  const auto bytes = static_cast<uint64_t>(grid.Voxels()) * static_cast<uint64_t>(ByteSize(dtype));
  uint64_t begin = 0, end = 0;
  if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(frame), &begin) ||
      __builtin_add_overflow(begin, static_cast<uint64_t>(h.vox_offset), &begin) ||
      __builtin_add_overflow(begin, bytes, &end) || end > source.Limit()) {
    throw DataError(
        fmt::format("NIfTI header promises {}x{}x{} voxels, more than the file can hold", h.dim[1],
                    h.dim[2], h.dim[3]),
        where);
  }
  Skip(source, begin, where);
  image.volume = MakeVolume(grid, dtype);
  const size_t count = source.Read(image.volume.data);
  if (count < bytes) {
    throw DataError(fmt::format("NIfTI voxels are cut short: {} of {} bytes", count, bytes), where);
  }
  std::byte more;  // gzip checks its sum when it sees the end
  source.Read({&more, 1});
  if (h.big_endian) SwapElements(image.volume.data, static_cast<size_t>(ByteSize(dtype)));
  if (h.scl_slope != 0 && std::isfinite(h.scl_slope) && std::isfinite(h.scl_inter)) {
    image.volume.slope = h.scl_slope;
    image.volume.intercept = h.scl_inter;
  }
}

int64_t ChooseFrame(const NiftiHeader& h, std::optional<int64_t> frame, const std::string& where) {
  if (!frame && h.frames() > 1) {
    throw DataError(fmt::format("an image of {} volumes where one is wanted", h.frames()), where,
                    "choose one with --frame, counting from 0");
  }
  if (frame.value_or(0) < 0 || frame.value_or(0) >= h.frames())
    throw UsageError(fmt::format("volume {} of an image of {}", *frame, h.frames()), where,
                     "--frame counts from 0");
  return frame.value_or(0);
}

}  // namespace

bool IsNiftiName(const std::filesystem::path& path) {
  for (const char* ending : {".nii", ".hdr", ".img"})
    for (const char* gz : {"", ".gz"})
      if (WithEnding(path, std::string(ending) + gz, "")) return true;
  return false;
}

NiftiFile InspectNifti(const std::filesystem::path& path) {
  const std::filesystem::path header = HeaderPath(path);
  const MappedFile mapped(header);
  GzipSource source(mapped.bytes(), header.string());
  return ReadHeader(source, header);
}

NiftiImage ReadNifti(const std::filesystem::path& path, std::optional<int64_t> frame) {
  const std::filesystem::path header = HeaderPath(path);
  const std::string where = header.string();
  const MappedFile mapped(header);
  GzipSource source(mapped.bytes(), where);
  NiftiImage image;
  static_cast<NiftiFile&>(image) = ReadHeader(source, header);
  const NiftiHeader& h = image.header;
  if (!NiftiElementType(h.datatype)) {
    throw DataError(
        "voxels of type " + NiftiDatatypeName(h.datatype) + ", where one number each is wanted",
        where + ": datatype");
  }
  const int64_t chosen = ChooseFrame(h, frame, where);
  if (h.single_file) {
    // The header was read as far as that of version 2 reaches; version 1 ends before.
    GzipSource again(mapped.bytes(), where);
    ReadVoxels(image, again, chosen, where);
  } else {
    const std::filesystem::path voxels = VoxelsPath(header);
    const MappedFile voxels_file(voxels);
    GzipSource voxels_source(voxels_file.bytes(), voxels.string());
    ReadVoxels(image, voxels_source, chosen, voxels.string());
  }
  return image;
}

}  // namespace orchard::io
