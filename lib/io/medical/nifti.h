// NIfTI files: .nii, .nii.gz, and .hdr with .img (each also gzipped).
//
// The reader is our own, on zlib. libnifti2 does the same for well-formed files, but it takes
// memory for what a header claims, ends the process or prints on some errors, and cannot say which
// field of which file is wrong; a header is 348 bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/medical/nifti_header.h"

namespace orchard::io {

struct NiftiFile {
  NiftiHeader header;
  NiftiPlace place;
  std::vector<std::string> warnings;  // about place and scaling, one line each

  Grid grid() const { return {{header.dim[1], header.dim[2], header.dim[3]}, place.affine}; }
};

struct NiftiImage : NiftiFile {
  Volume volume;
};

// Whether the name ends in .nii, .nii.gz, .hdr or .img (or .hdr.gz, .img.gz), in any case.
bool IsNiftiName(const std::filesystem::path& path);

// Reads the header only.
NiftiFile InspectNifti(const std::filesystem::path& path);

// Reads one volume: of a file with several, number `frame` (from 0). The elements keep their stored
// type, in the machine's byte order; slope and intercept are the header's.
// Throws DataError naming file and place: what ParseNiftiHeader and PlaceNifti refuse, voxels cut
// short, sizes the file cannot hold, damaged gzip, RGB and complex types, several volumes and no
// `frame`.
NiftiImage ReadNifti(const std::filesystem::path& path, std::optional<int64_t> frame = {});

struct NiftiWriteOptions {
  // What the image was made from, if that was a NIfTI file: both forms, their codes, units and
  // spacing are copied as they are, so that every reader places the two alike. The grids must
  // agree.
  const NiftiHeader* like = nullptr;
  int32_t form_code = 1;    // of both forms when there is no `like`: 1 is "scanner"
  int32_t intent_code = 0;  // kNiftiIntentLabel for label maps
  std::string description = "";
  int threads = 1;  // that compress; the bytes do not depend on it
};

// Writes .nii or, compressed at level 1, .nii.gz, by the name. NIfTI-1, or NIfTI-2 where an axis
// has more than 32767 voxels. Throws ResourceError, or UsageError for another name.
void WriteNifti(const std::filesystem::path& path, const Volume& volume,
                const NiftiWriteOptions& options = {});

}  // namespace orchard::io
