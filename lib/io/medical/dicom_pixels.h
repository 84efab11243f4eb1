// The pixels of a DICOM file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/medical/dicom_frame.h"

namespace orchard::io {

// An open file whose frames are decoded one at a time. Decoders: none, deflated, RLE, JPEG
// (baseline, extended, lossless), JPEG-LS, JPEG 2000.
class DicomPixels {
 public:
  // Throws DataError: unreadable, no integer pixels, an unknown transfer syntax, sizes that
  // contradict each other.
  explicit DicomPixels(const std::filesystem::path& path);
  ~DicomPixels();
  DicomPixels(const DicomPixels&) = delete;

  // The stored values of frame `number`, rows x columns: BitsStored bits below HighBit, with a sign
  // where PixelRepresentation says so; of JPEG 2000, with a sign where stream or header says so.
  // Throws DataError: damaged, cut short.
  std::vector<int32_t> Frame(int64_t number);

  bool monochrome1() const;  // large values are dark
  int64_t lowest() const;    // of what BitsStored bits can hold
  int64_t highest() const;
  // Stored values that mean "not measured": [first, second]; first > second when there are none.
  std::pair<int64_t, int64_t> padding() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::io
