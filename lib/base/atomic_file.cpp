#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/number_format.h"

namespace orchard {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void ThrowDiskFull(const fs::path& path, uint64_t needed, uint64_t free) {
  throw ResourceError("disk full: " + std::to_string(needed) + " bytes needed (" +
                          FormatBytes(needed) + "), " + std::to_string(free) + " free",
                      path.string(), "free some space or write to another disk");
}

[[noreturn]] void ThrowErrno(const std::string& what, const fs::path& path, int error) {
  throw ResourceError(what, path.string() + ": " + std::strerror(error));
}

fs::path Parent(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

void SyncDescriptor(int descriptor, const fs::path& path, uint64_t needed) {
  if (::fsync(descriptor) == 0) return;
  // EINVAL and EROFS: a file system without fsync; the rename is then all the safety there is.
  if (errno == EINVAL || errno == EROFS) return;
  if (errno == ENOSPC || errno == EDQUOT) ThrowDiskFull(path, needed, FreeBytes(path));
  ThrowErrno("cannot write to disk", path, errno);
}

}  // namespace

uint64_t FreeBytes(const fs::path& path) {
  fs::path probe = path;
  struct statvfs status;
  while (::statvfs(probe.empty() ? "." : probe.c_str(), &status) != 0) {
    if (probe.empty() || probe == probe.parent_path()) return 0;
    probe = probe.parent_path();
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

void RequireFreeBytes(const fs::path& path, uint64_t bytes) {
  if (bytes == 0) return;
  const uint64_t free = FreeBytes(path);
  if (free < bytes) ThrowDiskFull(path, bytes, free);
}

void SyncDirectory(const fs::path& directory) {
  const fs::path name = directory.empty() ? fs::path(".") : directory;
  const int descriptor = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) ThrowErrno("cannot open directory", name, errno);
  const int status = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (status != 0 && error != EINVAL && error != EROFS) {
    ThrowErrno("cannot write directory to disk", name, error);
  }
}

void WriteFully(int descriptor, std::span<const std::byte> bytes, const fs::path& path,
                uint64_t needed) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(count));
    } else if (errno == ENOSPC || errno == EDQUOT) {
      ThrowDiskFull(path, needed, FreeBytes(path));
    } else if (errno != EINTR) {
      ThrowErrno("cannot write", path, errno);
    }
  }
}

AtomicFile::AtomicFile(fs::path path, uint64_t expected_bytes)
    : path_(std::move(path)), partial_(path_), expected_(expected_bytes) {
  partial_ += ".partial";
  RequireFreeBytes(Parent(path_), expected_);
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) ThrowErrno("cannot create file", partial_, errno);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      expected_(other.expected_),
      written_(other.written_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(partial_.c_str());
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) {
    throw Error(ExitCode::kInternal, "write to a file that is closed", path_.string());
  }
  try {
    WriteFully(descriptor_, bytes, path_, std::max(expected_, written_ + bytes.size()));
  } catch (...) {
    Discard();  // frees the space at once, not when the caller unwinds
    throw;
  }
  written_ += bytes.size();
}

void AtomicFile::Commit(bool sync) {
  if (descriptor_ < 0) {
    throw Error(ExitCode::kInternal, "commit of a file that is closed", path_.string());
  }
  try {
    if (sync) SyncDescriptor(descriptor_, path_, std::max(expected_, written_));
    if (::rename(partial_.c_str(), path_.c_str()) != 0) {
      ThrowErrno("cannot rename the finished file to", path_, errno);
    }
  } catch (...) {
    Discard();
    throw;
  }
  ::close(std::exchange(descriptor_, -1));
  if (sync) SyncDirectory(Parent(path_));
}

void WriteFileAtomically(const fs::path& path, std::string_view text, bool sync) {
  AtomicFile file(path, text.size());
  file.Write(text);
  file.Commit(sync);
}

}  // namespace orchard
