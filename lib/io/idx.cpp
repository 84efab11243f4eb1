#include "io/idx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <string>

#include "base/error.h"
#include "io/gzip_source.h"
#include "io/mapped_file.h"

namespace orchard::io {
namespace {

constexpr size_t kMaxDimensions = 8;

std::optional<DType> IdxType(std::byte code) {
  switch (static_cast<int>(code)) {
    case 0x08:
      return DType::kU8;
    case 0x09:
      return DType::kI8;
    case 0x0B:
      return DType::kI16;
    case 0x0C:
      return DType::kI32;
    case 0x0D:
      return DType::kF32;
    case 0x0E:
      return DType::kF64;
    default:
      return std::nullopt;
  }
}

void ReverseElements(std::vector<std::byte>& bytes, size_t size) {
  for (size_t i = 0; i < bytes.size(); i += size) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(i + size));
  }
}

}  // namespace

IdxArray ReadIdx(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string where = path.string();
  GzipSource source(file.bytes(), where);
  std::byte magic[4];
  if (source.Read(magic) < 4 || magic[0] != std::byte{0} || magic[1] != std::byte{0}) {
    throw DataError("not an IDX file", where + ": offset 0");
  }
  const auto dtype = IdxType(magic[2]);
  if (!dtype)
    throw DataError(fmt::format("IDX type 0x{:02x} is unknown", static_cast<int>(magic[2])),
                    where + ": offset 2");
  const auto dimensions = static_cast<size_t>(magic[3]);
  if (dimensions > kMaxDimensions)
    throw DataError("IDX file has more than 8 dimensions", where + ": offset 3");

  IdxArray array{.dtype = *dtype};
  int64_t size = ByteSize(*dtype);
  for (size_t i = 0; i < dimensions; ++i) {
    std::byte raw[4];
    if (source.Read(raw) < 4) throw DataError("IDX header is cut short", where);
    int64_t n = 0;
    for (std::byte b : raw) n = n << 8 | static_cast<int64_t>(b);
    array.shape.push_back(n);
    if (__builtin_mul_overflow(size, n, &size)) throw DataError("IDX shape overflows", where);
  }
  // A file that is not gzipped is read up to its end, to say where that is, unless it could never
  // have held so much.
  const uint64_t limit = source.gzipped() ? source.Limit() : 1032 * source.Limit();
  if (static_cast<uint64_t>(size) > limit) {
    throw DataError(fmt::format("IDX shape needs {} bytes, more than the file can hold", size),
                    where);
  }
  try {
    array.bytes.resize(static_cast<size_t>(size));
  } catch (const std::bad_alloc&) {
    throw ResourceError(fmt::format("{} bytes of memory for an IDX array are not there", size),
                        where);
  }
  const size_t count = source.Read(array.bytes);
  if (count < array.bytes.size()) {
    const int64_t record = array.shape.empty() ? size : size / array.shape[0];
    throw DataError(fmt::format("IDX file holds {} bytes, but its shape needs {}", count, size),
                    fmt::format("{}: cut in record {}, offset {}", where,
                                static_cast<int64_t>(count) / record, 4 + 4 * dimensions + count));
  }
  std::byte more;
  if (source.Read({&more, 1}) != 0) throw DataError("bytes after the end of the IDX array", where);
  ReverseElements(array.bytes, static_cast<size_t>(ByteSize(*dtype)));
  return array;
}

}  // namespace orchard::io
