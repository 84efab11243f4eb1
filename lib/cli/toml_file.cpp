#include "cli/toml_file.h"

#include <toml++/toml.h>

#include <fstream>
#include <sstream>
#include <system_error>

#include "base/error.h"
#include "cli/nearest.h"
#include "cli/value.h"

namespace orchard::cli {
namespace {

std::string At(const std::string& name, const toml::source_region& region) {
  return name + ":" + std::to_string(region.begin.line) + ":" + std::to_string(region.begin.column);
}

const char* TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "a truth value";
    default:
      return "a date or time";
  }
}

class Reader {
 public:
  Reader(std::string name, FieldTable& table) : name_(std::move(name)), table_(table) {
    for (const std::string& section : table.Sections()) sections_.push_back(section);
  }

  void ReadTable(const toml::table& entries, const std::string& section) {
    for (const auto& [key, node] : entries) {
      const std::string path =
          section.empty() ? std::string(key.str()) : section + "." + std::string(key.str());
      if (node.is_table() && IsSection(path)) {
        ReadTable(*node.as_table(), path);
      } else if (Field* field = table_.Find(path)) {
        ReadField(*field, node);
      } else {
        Unknown(path, node.is_table(), key.source());
      }
    }
  }

 private:
  bool IsSection(const std::string& path) const {
    for (const std::string& section : sections_) {
      if (section == path || section.starts_with(path + ".")) return true;
    }
    return false;
  }

  [[noreturn]] void Unknown(const std::string& path, bool table,
                            const toml::source_region& region) const {
    const std::string nearest = table ? Nearest(path, sections_) : table_.NearestPath(path);
    throw UsageError((table ? "unknown section '" : "unknown key '") + path + "'",
                     At(name_, region), DidYouMean(nearest, "--print-config shows every key"));
  }

  Given Value(const toml::node& node, const Field& field) const {
    const std::string where = Where(node, field);
    if (const auto* value = node.as_boolean()) return {value->get(), where};
    if (const auto* value = node.as_integer()) return {value->get(), where};
    if (const auto* value = node.as_floating_point()) return {value->get(), where};
    if (const auto* value = node.as_string()) return {value->get(), where};
    throw UsageError(std::string("the value is ") + TypeName(node), where,
                     "use " + LegalValues(field));
  }

  std::string Where(const toml::node& node, const Field& field) const {
    return At(name_, node.source()) + ", key '" + field.Path() + "'";
  }

  void ReadField(Field& field, const toml::node& node) const {
    std::vector<Given> values;
    if (!field.IsList()) {
      values.push_back(Value(node, field));
    } else if (const toml::array* list = node.as_array()) {
      for (const toml::node& element : *list) values.push_back(Value(element, field));
    } else {
      throw UsageError(std::string("the value is ") + TypeName(node) + ", not a list",
                       Where(node, field), "use " + LegalValues(field));
    }
    Assign(field, values, Source::kFile);
  }

  std::string name_;
  FieldTable& table_;
  std::vector<std::string> sections_;
};

std::string Comment(const Field& field) {
  std::string text = "# " + field.help + " (" + LegalValues(field);
  if (field.constraint.required) {
    text += "; required";
  } else if (!field.default_text.empty()) {
    text += "; default " + field.default_text;
  }
  text += ")\n";
  return text;
}

std::string Line(const Field& field) {
  const bool missing = field.constraint.required && field.source == Source::kDefault;
  const std::string value = missing ? "" : FormatToml(field);
  return value.empty() ? "# " + field.key + " =\n" : field.key + " = " + value + "\n";
}

}  // namespace

void ReadConfigText(std::string_view text, const std::string& name, FieldTable& table) {
  toml::table entries;
  try {
    entries = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw UsageError(std::string(error.description()), At(name, error.source()));
  }
  Reader(name, table).ReadTable(entries, "");
}

void ReadConfigFile(const std::filesystem::path& file, FieldTable& table) {
  // The tensor half reads the file again, so it must not be a pipe, which can be read only once.
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(file, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw UsageError("the configuration is not a regular file", file.string(), "name a TOML file");
  }
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || in.bad()) {
    throw UsageError("the configuration cannot be read", file.string(),
                     std::generic_category().message(errno));
  }
  ReadConfigText(text.str(), file.string(), table);
}

std::string WriteConfig(const FieldTable& table, const std::string& title) {
  std::string text = "# " + title + "\n";
  for (const std::string& section : table.Sections()) {
    std::string lines;
    for (const Field& field : table.fields()) {
      if (field.in_file && field.section == section) lines += "\n" + Comment(field) + Line(field);
    }
    if (lines.empty()) continue;
    if (!section.empty()) text += "\n[" + section + "]";
    text += section.empty() ? lines : lines;
  }
  return text;
}

}  // namespace orchard::cli
