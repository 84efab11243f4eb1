#include "io/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "io/mapped_file.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, char separator, const std::string& where)
      : text_(text), separator_(separator), where_(where) {}

  bool AtEnd() const { return at_ == text_.size(); }
  int64_t line() const { return line_; }

  std::vector<std::string> Row() {
    std::vector<std::string> fields;
    while (true) {
      fields.push_back(Field());
      if (AtEnd()) return fields;
      const char c = text_[at_++];
      if (c == separator_) continue;
      if (c == '\r' && !AtEnd() && text_[at_] == '\n') ++at_;
      ++line_;
      return fields;
    }
  }

 private:
  std::string Field() {
    if (AtEnd() || text_[at_] != '"') {
      const size_t end =
          std::min(text_.find_first_of(std::string{separator_, '\r', '\n'}, at_), text_.size());
      std::string field(text_.substr(at_, end - at_));
      at_ = end;
      return field;
    }
    const int64_t opened = line_;
    std::string field;
    for (++at_; !AtEnd(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        field += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field += '"';
        ++at_;
      } else {
        ++at_;
        if (!AtEnd() && text_[at_] != separator_ && text_[at_] != '\r' && text_[at_] != '\n') {
          throw DataError("text after a closing quote", fmt::format("{}:{}", where_, line_));
        }
        return field;
      }
    }
    throw DataError("quote is never closed", fmt::format("{}:{}", where_, opened));
  }

  std::string_view text_;
  char separator_;
  const std::string& where_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

size_t CsvTable::Column(std::string_view name) const {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found != header.end()) return static_cast<size_t>(found - header.begin());
  throw DataError("no column " + Quoted(name), where,
                  "it has: " + Printable(fmt::format("{}", fmt::join(header, ", "))));
}

int64_t CsvTable::Integer(size_t row, size_t column) const {
  const std::string& text = rows[row][column];
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw DataError(Quoted(text) + " is not an integer",
                    fmt::format("{}:{}: column {}", where, lines[row], column + 1));
  }
  return value;
}

CsvTable ReadCsv(const std::filesystem::path& path, bool has_header, char separator) {
  const MappedFile file(path);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark that spreadsheets write
  CsvTable table;
  table.where = path.string();
  CsvParser parser(text, separator, table.where);
  if (has_header && !parser.AtEnd()) table.header = parser.Row();
  size_t width = table.header.size();
  while (!parser.AtEnd()) {
    const int64_t line = parser.line();
    std::vector<std::string> row = parser.Row();
    if (row.size() == 1 && row[0].empty() && width != 1) continue;  // a blank line
    if (width == 0) width = row.size();
    if (row.size() != width) {
      throw DataError(fmt::format("row has {} fields, the first has {}", row.size(), width),
                      fmt::format("{}:{}", table.where, line));
    }
    table.rows.push_back(std::move(row));
    table.lines.push_back(line);
  }
  return table;
}

}  // namespace orchard::io
