// DICOM files for tests, made with DCMTK's own encoders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/medical/affine.h"

class DcmDataset;

namespace orchard::io {

// A slice of 4 x 3 pixels unless told otherwise.
struct DicomMaker {
  int64_t rows = 3, columns = 4;
  std::vector<uint16_t> words = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};  // as stored, 16 bits each
  int stored = 16, high = 15;
  bool is_signed = false;
  Vec3 position = {0, 0, 0};
  std::string orientation = "1\\0\\0\\0\\1\\0", spacing = "1\\1";
  std::string modality = "MR", series_uid = "1.2.3", uid = "1.2.3.1", description = "test";
  std::string photometric = "MONOCHROME2";
  // Anything else, after the elements above are set.
  std::function<void(DcmDataset&)> change = [](DcmDataset&) {};

  // "implicit", "explicit", "big-endian", "deflated", "rle", "jpeg" (lossless), "jpeg-ls", and
  // "jpeg2000" (lossless). With `preamble` false the file begins with the dataset.
  void Write(const std::filesystem::path& path, const std::string& encoding = "explicit",
             bool preamble = true) const;

  DicomMaker At(double z, int number) const {
    DicomMaker slice = *this;
    slice.position = {0, 0, z};
    slice.uid = series_uid + "." + std::to_string(number);
    return slice;
  }
};

// An enhanced MR file of frames at z = 0, -2, 4 (in this order), frame n filled with 10 n + pixel.
void WriteEnhanced(const std::filesystem::path& path, const std::string& encoding = "explicit");

// The lossless JPEG 2000 code stream of an image of 16-bit samples.
std::vector<uint8_t> EncodeJpeg2000(const std::vector<int32_t>& values, int64_t rows,
                                    int64_t columns, int precision, bool is_signed);

}  // namespace orchard::io
