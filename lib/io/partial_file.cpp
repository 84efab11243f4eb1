#include "io/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"

namespace orchard::io {
namespace {

[[noreturn]] void Throw(const char* what, int error, const std::filesystem::path& path) {
  throw ResourceError(fmt::format("cannot {} ({})", what, std::strerror(error)), path.string(),
                      error == ENOSPC || error == EDQUOT ? "free some disk space" : "");
}

[[noreturn]] void ThrowTooSmall(uint64_t size, const std::filesystem::path& path) {
  throw ResourceError(
      fmt::format("not enough disk space: {} bytes needed, {} free", size, FreeBytes(path)),
      path.string(), "free some disk space or write to another disk");
}

// Direct writes start and end on a page, so that they never touch one that a cached write fills.
constexpr uint64_t kPage = 4096;
// A smaller file or write is better off in the page cache.
constexpr uint64_t kDirectFile = 64 << 20;
constexpr size_t kDirectWrite = 64 << 10;

constexpr long kXfsMagic = 0x58465342;

// A file system on a local disk whose direct writes are known to be fast and atomic per page.
bool OnLocalDisk(int fd) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return false;
  return info.f_type == EXT4_SUPER_MAGIC || info.f_type == kXfsMagic;
}

}  // namespace

PartialFile::PartialFile(const std::filesystem::path& path, uint64_t size, Caching caching)
    : path_(path), partial_(path.string() + ".partial") {
  ::unlink(partial_.c_str());  // left by a run that was killed
  fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) Throw("create the file", errno, partial_);
  try {
    Reserve(size);
  } catch (...) {
    const PartialFile discarded(std::move(*this));  // closes and removes
    throw;
  }
  if (caching == Caching::kDirect && size >= kDirectFile && OnLocalDisk(fd_)) OpenDirect();
}

void PartialFile::OpenDirect() {
  direct_fd_ = ::open(partial_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      fd_(std::exchange(other.fd_, -1)),
      direct_fd_(std::exchange(other.direct_fd_, -1)),
      direct_works_(other.direct_works_.load()) {}

PartialFile& PartialFile::operator=(PartialFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(partial_, other.partial_);
  std::swap(fd_, other.fd_);
  std::swap(direct_fd_, other.direct_fd_);
  direct_works_ = other.direct_works_.exchange(direct_works_);
  return *this;
}

PartialFile::~PartialFile() {
  if (direct_fd_ >= 0) ::close(direct_fd_);
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_.c_str());
}

void PartialFile::Reserve(uint64_t size) {
  if (size == 0) return;
  // Beyond the process's limit the kernel would send SIGXFSZ, which ends the process without a
  // word.
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      size > limit.rlim_cur) {
    throw ResourceError(fmt::format("{} bytes needed, but the limit on file size is {}", size,
                                    static_cast<uint64_t>(limit.rlim_cur)),
                        path_.string(), "raise it with ulimit -f");
  }
  if (size > static_cast<uint64_t>(INT64_MAX)) ThrowTooSmall(size, path_);
  int status;
  do {
    status = ::fallocate(fd_, 0, 0, static_cast<off_t>(size));
  } while (status != 0 && errno == EINTR);
  if (status == 0) return;
  if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT) ThrowTooSmall(size, path_);
  if (errno != EOPNOTSUPP) Throw("reserve disk space", errno, path_);
  // A file system without preallocation (NFS, some overlays): compare with what is free, as well as
  // that can be known.
  RequireFreeBytes(partial_, size);
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) {
    if (errno == EFBIG || errno == EINVAL) ThrowTooSmall(size, path_);
    Throw("reserve disk space", errno, path_);
  }
}

void PartialFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  if (!direct() || bytes.size() < kDirectWrite || (address - offset) % kPage != 0) {
    return WriteCached(offset, bytes);
  }
  const size_t head = static_cast<size_t>((kPage - offset % kPage) % kPage);
  const size_t whole = (bytes.size() - head) / kPage * kPage;
  if (!WriteDirect(offset + head, bytes.subspan(head, whole))) return WriteCached(offset, bytes);
  WriteCached(offset, bytes.first(head));
  WriteCached(offset + head + whole, bytes.subspan(head + whole));
}

// False when the file system does not do it after all.
bool PartialFile::WriteDirect(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(direct_fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL) {
      direct_works_ = false;
      return false;
    }
    if (count < 0) Throw("write", errno, path_);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
    if (static_cast<uint64_t>(count) % kPage != 0) {  // cut short: the rest is not aligned any more
      WriteCached(offset, bytes);
      return true;
    }
  }
  return true;
}

void PartialFile::WriteCached(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Throw("write", errno, path_);
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void PartialFile::Finish(bool sync) {
  if (sync && ::fsync(fd_) != 0) Throw("write", errno, path_);
  if (::rename(partial_.c_str(), path_.c_str()) != 0)
    Throw("rename the finished file", errno, path_);
  if (direct_fd_ >= 0) ::close(std::exchange(direct_fd_, -1));
  ::close(std::exchange(fd_, -1));
  if (!sync) return;
  SyncDirectory(path_.parent_path().empty() ? "." : path_.parent_path());
}

std::span<std::byte> WriteBuffer::For(uint64_t offset, size_t size) {
  const size_t skipped = static_cast<size_t>(offset % kPage);
  const size_t needed = (skipped + size + kPage - 1) / kPage * kPage;
  if (needed > capacity_) {
    bytes_.reset();
    capacity_ = 0;
    bytes_.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, needed)));
    if (!bytes_) throw std::bad_alloc();
    capacity_ = needed;
  }
  return {bytes_.get() + skipped, size};
}

void WriteBuffer::Free::operator()(std::byte* bytes) const { std::free(bytes); }

}  // namespace orchard::io
