// A file that is written beside its name (`path`.partial) and renamed when it is whole, so that
// nobody ever reads half of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace orchard::io {

// Where written bytes go first.
enum class Caching {
  kCached,  // into the page cache
  kDirect   // large writes to the disk itself, where it is a local one that can: a copy less, and
            // the page cache keeps what is in it
};

class PartialFile {
 public:
  // Creates `path`.partial with `size` bytes of disk space already taken. Throws ResourceError: no
  // space (with needed and free), no permission, no directory.
  explicit PartialFile(const std::filesystem::path& path, uint64_t size = 0,
                       Caching caching = Caching::kCached);
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) noexcept;
  ~PartialFile();  // removes the file unless it was finished

  const std::filesystem::path& path() const { return path_; }

  // Thread-safe. Throws ResourceError. Bytes for the disk itself must lie in memory as they will in
  // the file (WriteBuffer); others go into the page cache.
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes);

  // Whether large writes pass the page cache.
  bool direct() const { return direct_fd_ >= 0 && direct_works_.load(); }

  // Closes and renames to `path`. `sync`: the bytes, and then the new name, are on the disk on
  // return. Throws ResourceError.
  void Finish(bool sync);

 private:
  void Reserve(uint64_t size);
  void OpenDirect();
  bool WriteDirect(uint64_t offset, std::span<const std::byte> bytes);
  void WriteCached(uint64_t offset, std::span<const std::byte> bytes);

  std::filesystem::path path_, partial_;
  int fd_ = -1;
  int direct_fd_ = -1;
  std::atomic<bool> direct_works_ = true;
};

// Memory for bytes on their way to a file: their addresses agree with their offsets modulo a page,
// as writing to a disk itself wants it.
class WriteBuffer {
 public:
  // `size` bytes for offset `offset`, which are valid until the next call.
  std::span<std::byte> For(uint64_t offset, size_t size);

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  size_t capacity_ = 0;
};

}  // namespace orchard::io
