// Files that are whole or absent: bytes go to `<name>.partial` beside the final name, and `Commit`
// syncs and renames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace orchard {

// Bytes an unprivileged process may still write on the file system of `path`, which need not exist
// yet. 0 when unknown.
uint64_t FreeBytes(const std::filesystem::path& path);

// Throws ResourceError naming needed and free bytes when `bytes` do not fit on the file system of
// `path`.
void RequireFreeBytes(const std::filesystem::path& path, uint64_t bytes);

// Makes a rename, creation or removal inside `directory` survive a power cut. Throws ResourceError.
void SyncDirectory(const std::filesystem::path& directory);

// Writes `bytes` to an open file descriptor, however many calls it takes. `path` and `needed`, the
// size the file should get, are for the message. Throws ResourceError (disk full: needed and free
// bytes).
void WriteFully(int descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path,
                uint64_t needed);

// One file being written front to back. Until `Commit` nothing is seen under the final name, and
// what stood there before stays; a file destroyed before `Commit` removes its partial. One writer
// per name at a time.
class AtomicFile {
 public:
  // `expected_bytes`, when known, is held against the free space before anything is written. Throws
  // ResourceError.
  explicit AtomicFile(std::filesystem::path path, uint64_t expected_bytes = 0);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }
  uint64_t written() const { return written_; }
  const std::filesystem::path& path() const { return path_; }

  // Renames to the final name; with `sync` the bytes and the name are on the disk when this
  // returns. Throws ResourceError.
  void Commit(bool sync = true);

 private:
  void Discard() noexcept;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  uint64_t expected_ = 0;
  uint64_t written_ = 0;
  int descriptor_ = -1;
};

// The whole of `text` as the new content of `path`.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view text,
                         bool sync = true);

}  // namespace orchard
