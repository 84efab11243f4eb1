// JPEG 2000 code streams, by OpenJPEG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace orchard::io {

struct Jpeg2000Image {
  int64_t rows = 0, columns = 0;
  int precision = 0;  // bits
  bool is_signed = false;
  std::vector<int32_t> values;  // row by row
};

// Decodes an image of one component. `where` names it in errors. Throws DataError: damaged, cut
// short, of several components, or larger than rows x columns.
Jpeg2000Image DecodeJpeg2000(std::span<const std::byte> stream, int64_t rows, int64_t columns,
                             const std::string& where);

}  // namespace orchard::io
