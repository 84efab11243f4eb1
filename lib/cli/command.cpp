#include "cli/command.h"

#include "base/error.h"
#include "cli/nearest.h"
#include "cli/toml_file.h"
#include "cli/value.h"

namespace orchard::cli {
namespace {

using Kind = ArgumentSyntax::Kind;

enum Frame { kHelp, kConfig, kSet, kPrintConfig };

std::vector<ArgumentSyntax> Syntax(const FieldTable& table) {
  std::vector<ArgumentSyntax> syntax;
  for (const FrameFlag& flag : FrameFlags()) syntax.push_back({flag.name, flag.letter, flag.kind});
  for (const Field& field : table.fields()) {
    const Kind kind = field.positional ? Kind::kPositional
                      : field.IsBool() ? Kind::kSwitch
                                       : Kind::kFlag;
    syntax.push_back({.name = field.flag,
                      .letter = field.constraint.letter,
                      .kind = kind,
                      .negation = field.IsBool() ? field.Negation() : "",
                      .list = field.IsList()});
  }
  return syntax;
}

[[noreturn]] void RejectUnknown(const std::string& argument, const FieldTable& table) {
  if (!argument.starts_with('-')) {
    throw UsageError("one argument too many", "'" + argument + "'", "--help shows the usage");
  }
  std::vector<std::string> flags;
  for (const FrameFlag& flag : FrameFlags()) flags.push_back(flag.name);
  for (const Field& field : table.fields()) {
    if (field.positional) continue;
    flags.push_back(field.flag);
    if (field.IsBool() && !field.Negation().empty()) flags.push_back(field.Negation());
  }
  const std::string name = argument.substr(0, argument.find('='));
  throw UsageError("unknown flag", name,
                   DidYouMean(Nearest(name, flags), "--help lists the flags"));
}

void ApplySet(const std::string& assignment, FieldTable& table) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos) {
    throw UsageError("--set needs KEY=VALUE", "'" + assignment + "'");
  }
  const std::string path = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  Field* field = table.Find(path);
  if (!field) {
    throw UsageError("unknown key '" + path + "'", "--set " + assignment,
                     DidYouMean(table.NearestPath(path), "--print-config shows every key"));
  }
  std::vector<Given> values;
  for (const std::string& element : field->IsList() ? SplitList(text) : std::vector{text}) {
    values.push_back({Raw{element}, "--set " + assignment});
  }
  Assign(*field, values, Source::kSet);
}

// A flag given twice: lists take all values, others the last one.
void ApplyTyped(const std::vector<std::string>& typed, Field& field) {
  std::vector<Given> values;
  if (!field.IsList()) {
    values.push_back({Raw{typed.back()}, field.flag});
  } else {
    for (const std::string& text : typed) {
      for (const std::string& element : field.positional ? std::vector{text} : SplitList(text)) {
        values.push_back({Raw{element}, field.flag});
      }
    }
  }
  Assign(field, values, Source::kFlag);
}

}  // namespace

std::span<const FrameFlag> FrameFlags() {
  static const FrameFlag flags[] = {
      {"--help", 'h', Kind::kSwitch, "", "print this help"},
      {"--config", 0, Kind::kFlag, "FILE", "read options from a TOML file; may be repeated"},
      {"--set", 0, Kind::kFlag, "KEY=VALUE", "set one key of the configuration; may be repeated"},
      {"--print-config", 0, Kind::kSwitch, "", "print the resolved configuration and exit"},
  };
  return flags;
}

FieldTable MakeTable(const Command& command, CommonOptions& common) {
  FieldTable table;
  command.fields(table);
  table.Section(kCommonSection, common);
  table.FlagsOnly();
  common.CallFields(table);
  table.NameFlags();
  return table;
}

Request Resolve(const std::vector<std::string>& arguments, FieldTable& table) {
  const ParsedArguments parsed = ParseArguments(Syntax(table), arguments);
  const auto given = [&](Frame flag) -> const auto& { return parsed.values[flag]; };
  const auto on = [&](Frame flag) { return !given(flag).empty() && given(flag).back() == "true"; };
  Request request;
  request.help = on(kHelp);
  if (request.help) return request;
  request.print_config = on(kPrintConfig);
  if (!parsed.unknown.empty()) RejectUnknown(parsed.unknown.front(), table);

  for (const std::string& file : given(kConfig)) ReadConfigFile(file, table);
  for (const std::string& assignment : given(kSet)) ApplySet(assignment, table);
  size_t i = FrameFlags().size();
  for (Field& field : table.fields()) {
    if (!parsed.values[i].empty()) ApplyTyped(parsed.values[i], field);
    ++i;
  }
  return request;
}

void CheckRequired(const FieldTable& table) {
  for (const Field& field : table.fields()) {
    if (field.constraint.required && field.source == Source::kDefault) {
      throw UsageError(field.positional ? "an argument is missing" : "a required flag is missing",
                       field.flag + ", " + field.help, "--help shows the usage");
    }
  }
}

}  // namespace orchard::cli
