// The JSON files of lib/arch/architectures/, compiled in by cmake/EmbedTables.cmake.
#pragma once

#include <span>

namespace orchard::arch {

struct EmbeddedTable {
  const char* name;
  const char* text;
};

std::span<const EmbeddedTable> EmbeddedTables();

}  // namespace orchard::arch
