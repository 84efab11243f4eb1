// A regular file, memory-mapped for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace orchard::io {

// Maps the whole file read-only. The file must not be truncated while it is mapped: the kernel
// would end the process.
class MappedFile {
 public:
  // Throws DataError when `path` is absent, unreadable, or not a regular file (a directory, a pipe,
  // a device), and ResourceError when the process is out of file handles or address space.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Asks the kernel to read [begin, end) ahead.
  void Prefetch(uint64_t begin, uint64_t end) const;

  // Drops the pages that lie whole in [begin, end) from this process; they come back from the file
  // when touched again.
  void Release(uint64_t begin, uint64_t end) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace orchard::io
