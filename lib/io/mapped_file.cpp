#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace orchard::io {
namespace {

[[noreturn]] void ThrowOpenError(int error, const std::string& where) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw DataError("no such file", where);
    case ELOOP:
      throw DataError("symbolic links lead in a circle", where);
    case EACCES:
    case EPERM:
      throw DataError("no permission to read", where);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      throw ResourceError(std::string("cannot open (") + std::strerror(error) + ")", where,
                          "raise the limit with ulimit -n, or free memory");
    default:
      throw DataError(std::string("cannot open (") + std::strerror(error) + ")", where);
  }
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) ThrowOpenError(errno, path.string());
  const Descriptor closer{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) ThrowOpenError(errno, path.string());
  if (S_ISDIR(info.st_mode)) throw DataError("is a directory, not a file", path.string());
  if (!S_ISREG(info.st_mode)) throw DataError("is not a regular file", path.string());
  if (info.st_size == 0) return;  // an empty mapping is an error of mmap
  void* data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) {
    throw ResourceError(std::string("cannot map into memory (") + std::strerror(errno) + ")",
                        path.string(), "raise the limit with ulimit -v");
  }
  data_ = static_cast<const std::byte*>(data);
  size_ = static_cast<size_t>(info.st_size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::Prefetch(uint64_t begin, uint64_t end) const {
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  end = std::min<uint64_t>(end, size_);
  begin = begin / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_WILLNEED);
}

void MappedFile::Release(uint64_t begin, uint64_t end) const {
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  // Pages on the border may hold a neighbour that is still in use. The last page of the file has no
  // neighbour behind it.
  end = end >= size_ ? size_ : end / page * page;
  begin = (begin + page - 1) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace orchard::io
