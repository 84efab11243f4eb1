// CSV as RFC 4180 has it: fields in double quotes may hold commas, line ends and doubled quotes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::io {

struct CsvTable {
  std::vector<std::string> header;             // empty when the file has none
  std::vector<std::vector<std::string>> rows;  // all as long as the first line
  std::vector<int64_t> lines;                  // where each row begins, from 1
  std::string where;                           // the file, for messages

  // Index of a column. Throws DataError listing the columns there are.
  size_t Column(std::string_view name) const;
  // A field as an integer. Throws DataError naming file, line and column.
  int64_t Integer(size_t row, size_t column) const;
};

// Throws DataError naming file:line: an open quote, text after a quote, rows of different lengths.
CsvTable ReadCsv(const std::filesystem::path& path, bool has_header, char separator = ',');

}  // namespace orchard::io
