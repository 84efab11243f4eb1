// Bytes of safetensors files, right and wrong, for tests.
#pragma once

#include <cstdint>
#include <string>

namespace orchard::io {

inline std::string LittleEndian64(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> 8 * i & 0xFF);
  return bytes;
}

// A file of that header text and `data_bytes` zero bytes.
inline std::string FileOf(const std::string& header, size_t data_bytes) {
  return LittleEndian64(header.size()) + header + std::string(data_bytes, '\0');
}

}  // namespace orchard::io
