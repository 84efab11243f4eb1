#include "io/medical/gzip_writer.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/thread_pool.h"

namespace orchard::io {
namespace {

constexpr size_t kBlock = 1 << 20;

struct Compressed {
  std::vector<std::byte> bytes;
  uLong crc = 0;
};

// A block of a raw deflate stream. All but the last end at a byte boundary (a flush), so that they
// can stand one behind the other.
Compressed Compress(std::span<const std::byte> block, int level, bool last) {
  z_stream stream{};
  if (deflateInit2(&stream, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw ResourceError("zlib cannot start");
  Compressed result;
  result.bytes.resize(deflateBound(&stream, block.size()) + 16);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(block.data()));
  stream.avail_in = static_cast<uInt>(block.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.bytes.data());
  stream.avail_out = static_cast<uInt>(result.bytes.size());
  deflate(&stream, last ? Z_FINISH : Z_FULL_FLUSH);
  result.bytes.resize(stream.total_out);
  deflateEnd(&stream);
  result.crc =
      crc32(0, reinterpret_cast<const Bytef*>(block.data()), static_cast<uInt>(block.size()));
  return result;
}

void PutLittleEndian(std::byte* target, uint32_t value) {
  for (int i = 0; i < 4; ++i) target[i] = static_cast<std::byte>(value >> 8 * i & 0xFF);
}

}  // namespace

void WriteGzip(const std::filesystem::path& path,
               std::span<const std::span<const std::byte>> pieces, int level, int threads) {
  std::vector<std::span<const std::byte>> blocks;
  uint64_t total = 0;
  for (std::span<const std::byte> piece : pieces) {
    total += piece.size();
    for (; !piece.empty(); piece = piece.subspan(blocks.back().size()))
      blocks.push_back(piece.first(std::min(kBlock, piece.size())));
  }
  if (blocks.empty()) blocks.emplace_back();

  AtomicFile file(path);
  // No name and no time: equal images are equal files.
  constexpr std::array<unsigned char, 10> kHeader = {0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255};
  file.Write(std::as_bytes(std::span(kHeader)));
  ThreadPool pool(threads);
  uLong crc = 0;
  const size_t batch = static_cast<size_t>(threads) * 4;  // blocks in memory at once
  for (size_t first = 0; first < blocks.size(); first += batch) {
    const size_t count = std::min(batch, blocks.size() - first);
    std::vector<Compressed> done(count);
    pool.ForEach(static_cast<int64_t>(count), [&](int64_t i) {
      const size_t b = first + static_cast<size_t>(i);
      done[static_cast<size_t>(i)] = Compress(blocks[b], level, b + 1 == blocks.size());
    });
    for (size_t i = 0; i < count; ++i) {
      file.Write(done[i].bytes);
      crc = crc32_combine(crc, done[i].crc, static_cast<z_off_t>(blocks[first + i].size()));
    }
  }
  std::array<std::byte, 8> trailer;
  PutLittleEndian(trailer.data(), static_cast<uint32_t>(crc));
  PutLittleEndian(trailer.data() + 4, static_cast<uint32_t>(total));
  file.Write(trailer);
  file.Commit();
}

}  // namespace orchard::io
