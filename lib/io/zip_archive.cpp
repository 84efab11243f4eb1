#include "io/zip_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034B50, kCentralHeader = 0x02014B50, kEnd = 0x06054B50;
constexpr uint32_t kEnd64 = 0x06064B50, kEnd64Locator = 0x07064B50;
constexpr uint64_t kEndSize = 22, kLocatorSize = 20, kCentralSize = 46, kLocalSize = 30;
constexpr uint32_t kIn64 = 0xFFFFFFFF;  // "see the zip64 field"

// Little-endian numbers at checked places.
class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, const std::string& where)
      : bytes_(bytes), where_(where) {}
  uint64_t size() const { return bytes_.size(); }
  uint64_t Get(uint64_t offset, int width) const {
    Need(offset, static_cast<uint64_t>(width));
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; --i) {
      value = value << 8 | static_cast<uint64_t>(bytes_[offset + static_cast<uint64_t>(i)]);
    }
    return value;
  }
  uint16_t Get16(uint64_t offset) const { return static_cast<uint16_t>(Get(offset, 2)); }
  uint32_t Get32(uint64_t offset) const { return static_cast<uint32_t>(Get(offset, 4)); }
  uint64_t Get64(uint64_t offset) const { return Get(offset, 8); }
  std::string Text(uint64_t offset, uint64_t length) const {
    Need(offset, length);
    return {reinterpret_cast<const char*>(bytes_.data()) + offset, length};
  }
  void Need(uint64_t offset, uint64_t length) const {
    if (offset > bytes_.size() || length > bytes_.size() - offset) {
      Fail("zip archive points past the end of the file", offset);
    }
  }
  [[noreturn]] void Fail(const std::string& what, uint64_t offset) const {
    throw DataError(what, fmt::format("{}: offset {}", where_, offset));
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
};

struct Directory {
  uint64_t offset, entries;
};

Directory FindDirectory(const Bytes& bytes) {
  if (bytes.size() < kEndSize) bytes.Fail("too short to be a zip archive", 0);
  // A comment of up to 64 kB may follow the end record.
  const uint64_t lowest = bytes.size() - std::min<uint64_t>(bytes.size(), kEndSize + 65535);
  for (uint64_t at = bytes.size() - kEndSize;; --at) {
    if (bytes.Get32(at) == kEnd) {
      if (bytes.Get16(at + 4) != 0 || bytes.Get16(at + 6) != 0) {
        bytes.Fail("zip archive is split over several files", at);
      }
      Directory directory{bytes.Get32(at + 16), bytes.Get16(at + 10)};
      if (at >= kLocatorSize && bytes.Get32(at - kLocatorSize) == kEnd64Locator) {
        const uint64_t end64 = bytes.Get64(at - kLocatorSize + 8);
        if (bytes.Get32(end64) != kEnd64) bytes.Fail("zip64 record is damaged", end64);
        bytes.Need(end64, 56);
        directory = {bytes.Get64(end64 + 48), bytes.Get64(end64 + 32)};
      }
      return directory;
    }
    if (at == lowest)
      bytes.Fail("zip archive has no directory: the file was cut short", bytes.size());
  }
}

// Replaces the values that stand in the zip64 extra field, in the order that the format gives them.
void ReadZip64(const Bytes& bytes, uint64_t at, uint64_t length, uint64_t& size, uint64_t& stored,
               uint64_t& local) {
  bytes.Need(at, length);
  const uint64_t end = at + length;
  while (at + 4 <= end) {
    const uint16_t id = bytes.Get16(at), field = bytes.Get16(at + 2);
    at += 4;
    if (field > end - at) bytes.Fail("zip extra field is damaged", at);
    if (id == 1) {
      const uint64_t field_end = at + field;
      for (uint64_t* value : {&size, &stored, &local}) {
        if (*value != kIn64) continue;
        if (field_end - at < 8) bytes.Fail("zip64 extra field is too short", at);
        *value = bytes.Get64(at);
        at += 8;
      }
      return;
    }
    at += field;
  }
}

}  // namespace

bool IsZip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && bytes[0] == std::byte{'P'} && bytes[1] == std::byte{'K'} &&
         bytes[2] == std::byte{3} && bytes[3] == std::byte{4};
}

std::map<std::string, ZipEntry> ReadZipDirectory(std::span<const std::byte> raw,
                                                 const std::string& where) {
  const Bytes bytes(raw, where);
  const Directory directory = FindDirectory(bytes);
  std::map<std::string, ZipEntry> entries;
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    bytes.Need(at, kCentralSize);
    if (bytes.Get32(at) != kCentralHeader) bytes.Fail("zip directory is damaged", at);
    const uint16_t flags = bytes.Get16(at + 8), method = bytes.Get16(at + 10);
    uint64_t stored = bytes.Get32(at + 20), size = bytes.Get32(at + 24),
             local = bytes.Get32(at + 42);
    const uint64_t name_length = bytes.Get16(at + 28), extra = bytes.Get16(at + 30);
    const std::string name = bytes.Text(at + kCentralSize, name_length);
    ReadZip64(bytes, at + kCentralSize + name_length, extra, size, stored, local);
    if (flags & 1) bytes.Fail("zip entry " + Quoted(name) + " is encrypted", at);
    bytes.Need(local, kLocalSize);
    if (bytes.Get32(local) != kLocalHeader) {
      bytes.Fail("zip entry " + Quoted(name) + " has no header", local);
    }
    ZipEntry entry;
    entry.begin = local + kLocalSize + bytes.Get16(local + 26) + bytes.Get16(local + 28);
    bytes.Need(entry.begin, stored);
    entry.end = entry.begin + stored;
    entry.stored = method == 0 && stored == size;
    if (!entries.emplace(name, entry).second) {
      bytes.Fail("zip entry " + Quoted(name) + " appears twice", at);
    }
    at += kCentralSize + name_length + extra + bytes.Get16(at + 32);
  }
  return entries;
}

}  // namespace orchard::io
