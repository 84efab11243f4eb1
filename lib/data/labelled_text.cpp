#include "data/labelled_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/csv.h"
#include "io/json_lines.h"

namespace orchard::data {
namespace {

struct Row {
  std::string text_a, text_b, label;
  int64_t line;
};

[[noreturn]] void Fail(const std::filesystem::path& path, int64_t line, const std::string& what) {
  throw DataError(what, path.string() + ":" + std::to_string(line));
}

// Tables as lists of fields, the names of the columns first.
struct Table {
  std::vector<std::vector<std::string>> rows;
  std::vector<int64_t> lines;  // where each row begins, from 1
};

Table ReadTabs(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("cannot read the labelled texts", path.string());
  Table table;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    std::vector<std::string> fields(1);
    for (const char c : line) {
      if (c == '\t') {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    table.rows.push_back(std::move(fields));
    table.lines.push_back(number);
  }
  return table;
}

Table ReadCommas(const std::filesystem::path& path) {
  io::CsvTable csv = io::ReadCsv(path, /*has_header=*/false);
  return {std::move(csv.rows), std::move(csv.lines)};
}

std::vector<Row> ReadTable(const std::filesystem::path& path, bool tabs,
                           const LabelledTextOptions& options, bool& pairs) {
  Table table = tabs ? ReadTabs(path) : ReadCommas(path);
  if (table.rows.empty()) Fail(path, 1, "the file is empty");
  const std::vector<std::string>& names = table.rows[0];
  const auto column = [&](const std::string& name) -> std::optional<size_t> {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return std::nullopt;
    return static_cast<size_t>(found - names.begin());
  };
  const auto a = column(options.text_a), b = column(options.text_b), label = column(options.label);
  if (!a || !label) {
    Fail(path, 1, "there is no column \"" + (a ? options.label : options.text_a) + "\"");
  }
  pairs = b.has_value();
  const size_t needed = std::max({*a, b.value_or(0), *label}) + 1;
  std::vector<Row> rows;
  for (size_t i = 1; i < table.rows.size(); ++i) {
    const std::vector<std::string>& fields = table.rows[i];
    if (fields.size() < needed) Fail(path, table.lines[i], "the row has too few columns");
    rows.push_back({fields[*a], b ? fields[*b] : "", fields[*label], table.lines[i]});
  }
  return rows;
}

std::vector<Row> ReadJsonLines(const std::filesystem::path& path,
                               const LabelledTextOptions& options, bool& pairs) {
  io::JsonLinesReader reader(path);
  std::vector<Row> rows;
  for (nlohmann::json object; reader.Next(object);) {
    if (!object.is_object()) Fail(path, reader.line(), "the line is not a JSON object");
    const auto string = [&](const std::string& key) {
      if (!object.contains(key) || !object[key].is_string()) {
        Fail(path, reader.line(), "the key \"" + key + "\" is missing or not a string");
      }
      return object[key].get<std::string>();
    };
    const bool second = object.contains(options.text_b);
    pairs |= second;
    if (!object.contains(options.label)) {
      Fail(path, reader.line(), "the key \"" + options.label + "\" is missing");
    }
    const nlohmann::json& label = object[options.label];
    rows.push_back({string(options.text_a), second ? string(options.text_b) : "",
                    label.is_string() ? label.get<std::string>() : label.dump(), reader.line()});
  }
  return rows;
}

std::optional<double> Number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string> LabelNames(const std::vector<Row>& rows) {
  std::set<std::string> names;
  for (const Row& row : rows) names.insert(row.label);
  std::vector<std::string> sorted(names.begin(), names.end());
  if (std::all_of(sorted.begin(), sorted.end(), [](const auto& s) { return Number(s); })) {
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return *Number(a) < *Number(b); });
  }
  return sorted;
}

}  // namespace

LabelledTexts ReadLabelledTexts(const std::filesystem::path& path,
                                const LabelledTextOptions& options) {
  const std::string ending = path.extension().string();
  LabelledTexts result;
  std::vector<Row> rows;
  if (ending == ".csv" || ending == ".tsv") {
    rows = ReadTable(path, ending == ".tsv", options, result.pairs);
  } else if (ending == ".jsonl") {
    rows = ReadJsonLines(path, options, result.pairs);
  } else {
    throw UsageError("labelled texts end in .csv, .tsv or .jsonl", path.string());
  }
  if (rows.empty()) throw DataError("there are no labelled texts", path.string());
  if (!options.regression) result.label_names = LabelNames(rows);
  for (Row& row : rows) {
    LabelledText example{std::move(row.text_a), std::move(row.text_b), 0, 0};
    if (options.regression) {
      const std::optional<double> score = Number(row.label);
      if (!score) Fail(path, row.line, "the label \"" + row.label + "\" is not a number");
      example.score = *score;
    } else {
      const auto& names = result.label_names;
      example.label =
          static_cast<int32_t>(std::find(names.begin(), names.end(), row.label) - names.begin());
    }
    result.examples.push_back(std::move(example));
  }
  return result;
}

}  // namespace orchard::data
