// The directory of a zip archive whose bytes are in memory. Entries that are stored (not
// compressed) can be used where they lie, which is how PyTorch writes its checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace orchard::io {

struct ZipEntry {
  uint64_t begin = 0, end = 0;  // bytes in the archive
  bool stored = true;           // false: compressed, and begin..end is of no use as it is
};

// True when `bytes` begin like a zip archive.
bool IsZip(std::span<const std::byte> bytes);

// Entries by name. Every range is checked to lie in `bytes`. Throws DataError naming `where` and
// the entry: no directory, damaged, encrypted, split over disks, or a name twice. Zip64 is
// understood. Check sums are not computed.
std::map<std::string, ZipEntry> ReadZipDirectory(std::span<const std::byte> bytes,
                                                 const std::string& where);

}  // namespace orchard::io
