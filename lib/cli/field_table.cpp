#include "cli/field_table.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "cli/nearest.h"
#include "cli/value.h"

namespace orchard::cli {
namespace {

std::string FlagName(std::string_view text) {
  std::string flag = "--";
  for (char c : text) flag += c == '_' || c == '.' ? '-' : c;
  return flag;
}

std::string Capitals(std::string_view key) {
  std::string name;
  for (char c : key) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

}  // namespace

bool Field::IsBool() const {
  return std::holds_alternative<bool*>(value) ||
         std::holds_alternative<std::optional<bool>*>(value);
}

std::string Field::Negation() const {
  return flag.starts_with("--no-") ? "" : "--no-" + flag.substr(2);
}

bool Field::IsList() const {
  return std::holds_alternative<std::vector<int64_t>*>(value) ||
         std::holds_alternative<std::vector<double>*>(value) ||
         std::holds_alternative<std::vector<std::string>*>(value) ||
         std::holds_alternative<std::vector<std::filesystem::path>*>(value);
}

bool Field::IsPath() const {
  return std::holds_alternative<std::filesystem::path*>(value) ||
         std::holds_alternative<std::optional<std::filesystem::path>*>(value) ||
         std::holds_alternative<std::vector<std::filesystem::path>*>(value);
}

const EnumRef* Field::Enum() const { return std::get_if<EnumRef>(&value); }

void FieldTable::AddField(Field field) {
  if (Find(field.Path())) {
    throw Error(ExitCode::kInternal, "the option is declared twice", field.Path());
  }
  field.default_text = FormatText(field);
  if (!field.constraint.required) CheckDefault(field);
  fields_.push_back(std::move(field));
}

void FieldTable::Visit(const char* key, FieldRef value, const char* help,
                       const Constraint& constraint) {
  AddField({.section = section_,
            .key = key,
            .flag = "",
            .value = std::move(value),
            .help = help,
            .constraint = constraint,
            .default_text = "",
            .in_file = in_file_});
}

void FieldTable::VisitPositional(const char* key, FieldRef value, const char* help, bool required) {
  Constraint constraint;
  constraint.required = required;
  AddField({.section = section_,
            .key = key,
            .flag = Capitals(key),
            .value = std::move(value),
            .help = help,
            .constraint = constraint,
            .default_text = "",
            .positional = true});
}

void FieldTable::Enter(const char* section) {
  section_ = section_.empty() ? section : section_ + "." + section;
}

void FieldTable::Leave() {
  const size_t dot = section_.rfind('.');
  section_ = dot == std::string::npos ? "" : section_.substr(0, dot);
}

void FieldTable::NameFlags() {
  // A common option keeps its short name (--seed), so that it means the same in every command.
  std::map<std::string, int> uses;
  for (const Field& field : fields_) {
    if (!field.positional) ++uses[field.key];
  }
  std::map<std::string, std::string> taken;
  for (Field& field : fields_) {
    if (field.positional) continue;
    const bool common = field.section == kCommonSection;
    field.flag = FlagName(uses[field.key] > 1 && !common ? field.Path() : field.key);
    if (!taken.emplace(field.flag, field.Path()).second) {
      throw Error(ExitCode::kInternal, "two options have the flag " + field.flag,
                  taken[field.flag] + " and " + field.Path());
    }
  }
}

std::vector<std::string> FieldTable::Sections() const {
  std::vector<std::string> sections = {""};
  for (const Field& field : fields_) {
    if (std::find(sections.begin(), sections.end(), field.section) == sections.end()) {
      sections.push_back(field.section);
    }
  }
  return sections;
}

Field* FieldTable::Find(std::string_view path) {
  for (Field& field : fields_) {
    if (field.in_file && field.Path() == path) return &field;
  }
  return nullptr;
}

std::string FieldTable::NearestPath(std::string_view path) const {
  std::vector<std::string> paths;
  const std::string key(path.substr(path.rfind('.') + 1));  // npos + 1 == 0
  for (const Field& field : fields_) {
    if (!field.in_file) continue;
    paths.push_back(field.Path());
    if (field.key == key) return field.Path();  // right key, wrong section
  }
  return Nearest(path, paths);
}

}  // namespace orchard::cli
