// IDX, the format of MNIST and its relatives (Y. LeCun's description): a big-endian header and one
// dense array; also gzipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "io/dtype.h"

namespace orchard::io {

struct IdxArray {
  DType dtype = DType::kU8;      // U8 I8 I16 I32 F32 F64
  std::vector<int64_t> shape;    // at most 8 dimensions
  std::vector<std::byte> bytes;  // in the byte order of this machine
};

// Reads a file, gzipped or not (told by its first bytes). Throws DataError naming the file: not
// IDX, damaged gzip, or a size that does not fit the shape; ResourceError when the array does not
// fit in memory.
IdxArray ReadIdx(const std::filesystem::path& path);

}  // namespace orchard::io
