// A file that is written beside its name (`path`.partial) and renamed when it is whole, so that
// nobody ever reads half of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace orchard::io {

class PartialFile {
 public:
  // Creates `path`.partial with `size` bytes of disk space already taken. Throws ResourceError: no
  // space (with needed and free), no permission, no directory.
  explicit PartialFile(const std::filesystem::path& path, uint64_t size = 0);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) noexcept;
  ~PartialFile();  // removes the file unless it was finished

  const std::filesystem::path& path() const { return path_; }

  // Thread-safe. Throws ResourceError.
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes);

  // Closes and renames to `path`. `sync`: the bytes, and then the new name, are on the disk on
  // return. Throws ResourceError.
  void Finish(bool sync);

 private:
  void Reserve(uint64_t size);

  std::filesystem::path path_, partial_;
  int fd_ = -1;
};

}  // namespace orchard::io
