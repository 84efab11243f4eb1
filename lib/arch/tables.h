// The JSON files of lib/arch/architectures/, compiled in by cmake/EmbedFiles.cmake: (name, text).
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace orchard::arch {

std::span<const std::pair<std::string_view, std::string_view>> EmbeddedTables();

}  // namespace orchard::arch
