// Gzip on several threads.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace orchard::io {

// Writes the pieces one behind the other as one gzip stream, compressed at `level` (1 to 9), and
// renames it to `path` when it is whole. Blocks of 1 MiB are compressed apart, so the bytes do not
// depend on `threads`. Throws ResourceError.
void WriteGzip(const std::filesystem::path& path,
               std::span<const std::span<const std::byte>> pieces, int level, int threads);

}  // namespace orchard::io
