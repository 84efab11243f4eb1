// The bytes of a file that may be gzipped, front to back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace orchard::io {

class GzipSource {
 public:
  // `file` is the whole file, and outlives this; `where` names it in errors. Files that do not
  // begin as gzip does are taken as they are. Throws ResourceError.
  GzipSource(std::span<const std::byte> file, std::string where);
  ~GzipSource();
  GzipSource(const GzipSource&) = delete;

  bool gzipped() const;

  // An upper bound on the bytes there can be: deflate reaches 1032 to 1 at best. A size from an
  // untrusted header must be held against it before memory is taken.
  uint64_t Limit() const;

  // Fills `target`; returns the number of bytes that there were. Several gzip streams one behind
  // the other count as one, as gzip(1) has it; what follows the last is ignored. Throws DataError:
  // damaged, check sum wrong, cut short.
  size_t Read(std::span<std::byte> target);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace orchard::io
