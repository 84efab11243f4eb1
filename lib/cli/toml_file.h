// Configuration files: read into a field table, and written from one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "cli/field_table.h"

namespace orchard::cli {

// Puts the values of a TOML file into the fields of `table`. Throws UsageError with
// file:line:column for a syntax error, an unknown key (with the nearest name), a wrong type or a
// value out of range.
void ReadConfigFile(const std::filesystem::path& file, FieldTable& table);

// The same for text; `name` stands for the file in errors.
void ReadConfigText(std::string_view text, const std::string& name, FieldTable& table);

// Every field that files know, with its help as a comment, in TOML that `ReadConfigText` reads back
// to the same values.
//   title  the first comment line
std::string WriteConfig(const FieldTable& table, const std::string& title);

}  // namespace orchard::cli
