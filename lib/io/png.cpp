#include "io/png.h"

#include <zlib.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"

namespace orchard::io {
namespace {

void AppendWord(std::vector<std::byte>& bytes, uint32_t word) {
  for (int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::byte>(word >> shift & 0xff));
}

// Length, name, data, check sum of name and data.
void AppendChunk(std::vector<std::byte>& bytes, std::string_view name,
                 std::span<const std::byte> data) {
  AppendWord(bytes, static_cast<uint32_t>(data.size()));
  const size_t begin = bytes.size();
  for (char c : name) bytes.push_back(static_cast<std::byte>(c));
  bytes.insert(bytes.end(), data.begin(), data.end());
  const auto* const summed = reinterpret_cast<const Bytef*>(bytes.data() + begin);
  AppendWord(bytes,
             static_cast<uint32_t>(crc32(0, summed, static_cast<uInt>(bytes.size() - begin))));
}

// Rows with their filter's number: 2, the difference to the row above.
std::vector<std::byte> FilteredRows(const Image& image) {
  const auto row_bytes = static_cast<size_t>(image.width * image.channels);
  std::vector<std::byte> rows;
  rows.reserve((row_bytes + 1) * static_cast<size_t>(image.height));
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    rows.push_back(std::byte{2});
    const uint8_t* const row = image.pixels.data() + y * row_bytes;
    for (size_t x = 0; x < row_bytes; ++x) {
      const int above = y == 0 ? 0 : *(row + x - row_bytes);
      rows.push_back(static_cast<std::byte>((row[x] - above) & 0xff));
    }
  }
  return rows;
}

}  // namespace

std::vector<std::byte> EncodePng(const Image& image) {
  if ((image.channels != 1 && image.channels != 3) || image.width < 1 || image.height < 1)
    throw Error(ExitCode::kInternal, "a picture that is neither grey nor RGB", "PNG");
  std::vector<std::byte> bytes;
  for (int c : {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a})  // "\x89PNG\r\n\x1a\n"
    bytes.push_back(static_cast<std::byte>(c));
  std::vector<std::byte> header;
  AppendWord(header, static_cast<uint32_t>(image.width));
  AppendWord(header, static_cast<uint32_t>(image.height));
  // 8 bits; grey or RGB; deflate, the five filters, not interlaced.
  for (int c : {8, image.channels == 1 ? 0 : 2, 0, 0, 0})
    header.push_back(static_cast<std::byte>(c));
  AppendChunk(bytes, "IHDR", header);
  const std::vector<std::byte> rows = FilteredRows(image);
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  std::vector<std::byte> packed(size);
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(rows.data()), static_cast<uLong>(rows.size()),
                6) != Z_OK)
    throw ResourceError("no memory to compress a picture");
  packed.resize(size);
  AppendChunk(bytes, "IDAT", packed);
  AppendChunk(bytes, "IEND", {});
  return bytes;
}

}  // namespace orchard::io
