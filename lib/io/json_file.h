// JSON from files that others wrote: strict UTF-8, no key twice in one object, bounded nesting and
// size, and errors that name file:line:column.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace orchard::io {

// Throws DataError; `where` names the text in errors (a path), whose first line counts as
// `first_line`. Values may nest 200 deep.
nlohmann::json ParseJson(std::string_view text, const std::string& where, int64_t first_line = 1);

// Throws DataError when the file is absent, larger than `max_bytes` or not JSON.
nlohmann::json ReadJsonFile(const std::filesystem::path& path, uint64_t max_bytes = 256'000'000);

}  // namespace orchard::io
