#include "io/gzip_source.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace orchard::io {
namespace {

constexpr uint64_t kMaxRatio = 1032;  // what deflate can reach at best

bool BeginsLikeGzip(std::span<const std::byte> bytes) {
  return bytes.size() > 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

}  // namespace

struct GzipSource::State {
  std::span<const std::byte> file;
  std::string where;
  bool gzip = false, ended = false;
  size_t at = 0;
  z_stream stream{};

  // One call of zlib: takes from the file and adds to target[done..].
  void Inflate(std::span<std::byte> target, size_t& done) {
    constexpr size_t kPiece = 1 << 30;  // zlib counts in 32 bits
    const size_t in = std::min(kPiece, file.size() - at);
    const size_t out = std::min(kPiece, target.size() - done);
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(file.data() + at));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(target.data() + done);
    stream.avail_out = static_cast<uInt>(out);
    const int status = inflate(&stream, Z_NO_FLUSH);
    at += in - stream.avail_in;
    done += out - stream.avail_out;
    if (status == Z_STREAM_END) {
      ended = !BeginsLikeGzip(file.subspan(at));
      if (!ended) inflateReset(&stream);
    } else if (status != Z_OK) {
      throw DataError(status == Z_BUF_ERROR ? "gzip file is cut short" : "gzip file is damaged",
                      fmt::format("{}: offset {}", where, at));
    }
  }
};

GzipSource::GzipSource(std::span<const std::byte> file, std::string where)
    : state_(std::make_unique<State>()) {
  state_->file = file;
  state_->where = std::move(where);
  state_->gzip = BeginsLikeGzip(file);
  if (state_->gzip && inflateInit2(&state_->stream, 15 + 16) != Z_OK) {
    state_->gzip = false;
    throw ResourceError("zlib cannot start", state_->where);
  }
}

GzipSource::~GzipSource() {
  if (state_->gzip) inflateEnd(&state_->stream);
}

bool GzipSource::gzipped() const { return state_->gzip; }

uint64_t GzipSource::Limit() const {
  return state_->gzip ? state_->file.size() * kMaxRatio : state_->file.size();
}

size_t GzipSource::Read(std::span<std::byte> target) {
  State& state = *state_;
  size_t done = 0;
  if (!state.gzip) {
    done = std::min(target.size(), state.file.size() - state.at);
    if (done > 0) std::memcpy(target.data(), state.file.data() + state.at, done);
    state.at += done;
    return done;
  }
  while (done < target.size() && !state.ended) state.Inflate(target, done);
  return done;
}

}  // namespace orchard::io
