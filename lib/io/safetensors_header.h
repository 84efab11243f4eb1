// The header of one safetensors file, parsed and checked. Format: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace orchard::io {

inline constexpr uint64_t kMaxSafetensorsHeader =
    100'000'000;  // bytes of JSON; the limit of the format

struct SafetensorsHeader {
  std::vector<TensorInfo>
      tensors;  // ordered by name; begin and end counted from the start of the file
  std::map<std::string, std::string> metadata;
};

// Parses the header of a file whose bytes are `file`; only the header's bytes are read. Afterwards
// every tensor is known to lie inside the file, to have the size that its shape and dtype ask for,
// and together they fill the data section without overlap or hole. Throws DataError naming `where`,
// the tensor and the offset.
SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> file, const std::string& where);

}  // namespace orchard::io
