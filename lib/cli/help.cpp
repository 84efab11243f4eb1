#include "cli/help.h"

#include <sstream>

#include "cli/value.h"

namespace orchard::cli {
namespace {

constexpr size_t kWidth = 100;  // columns of a line
constexpr size_t kLongestValue =
    50;                         // of a|b|c beside a flag; longer lists of names stand in the help
constexpr size_t kColumn = 30;  // where the help of an option starts

// Text broken at spaces, each line after the first indented by `indent`.
std::string Wrap(const std::string& text, size_t indent) {
  std::istringstream words(text);
  std::string result, word;
  size_t column = indent;
  while (words >> word) {
    if (column > indent && column + 1 + word.size() > kWidth) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

std::string Row(const std::string& name, const std::string& help) {
  std::string row = "  " + name;
  if (row.size() + 2 > kColumn) {
    row += "\n" + std::string(kColumn, ' ');
  } else {
    row.resize(kColumn, ' ');
  }
  return row + Wrap(help, kColumn) + "\n";
}

std::string FlagText(const Field& field) {
  std::string text =
      field.constraint.letter ? std::string("-") + field.constraint.letter + ", " : "";
  if (field.IsBool()) {
    // Who is on by default is switched off, mostly; who is off is switched on.
    return text + (field.default_text == "false" ? field.flag : "--[no-]" + field.flag.substr(2));
  }
  const std::string value = ValueName(field);
  return text + field.flag + " " + (value.size() > kLongestValue ? "NAME" : value);
}

bool IsPlainText(const Field& field) {
  return std::holds_alternative<std::string*>(field.value) ||
         std::holds_alternative<std::optional<std::string>*>(field.value);
}

std::string HelpText(const Field& field) {
  std::string notes;
  if (field.Enum() && ValueName(field).size() > kLongestValue) notes = LegalValues(field);
  if (!field.IsBool() && !field.Enum() && !field.IsPath() && !IsPlainText(field)) {
    notes = LegalValues(field);
  }
  const auto add = [&notes](const std::string& note) {
    notes += (notes.empty() ? "" : "; ") + note;
  };
  if (field.constraint.required && !field.positional) add("required");
  if (!field.constraint.required && !field.default_text.empty() &&
      !(field.IsBool() && field.default_text == "false")) {
    add("default " + field.default_text);
  }
  return field.help + (notes.empty() ? "" : " (" + notes + ")");
}

std::string UsageLine(const ProgramInfo& program, const CommandInfo& command,
                      const FieldTable& table) {
  std::string usage = program.name + " " + command.name + " [options]";
  for (const Field& field : table.fields()) {
    if (!field.positional) continue;
    const std::string name = field.flag + (field.IsList() ? "..." : "");
    usage += field.constraint.required ? " " + name : " [" + name + "]";
  }
  return usage;
}

std::string Escaped(std::string text) {
  for (size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
  return text;
}

std::string MarkdownRow(const Field& field) {
  std::string flag = field.positional ? field.flag : FlagText(field);
  std::string row = "| `" + Escaped(flag) + "` | ";
  row += field.in_file ? "`" + field.Path() + "`" : "";
  row += " | ";
  const bool shown = !field.constraint.required && !field.default_text.empty();
  row += field.constraint.required ? "required" : shown ? "`" + field.default_text + "`" : "";
  return row + " | " + Escaped(field.help) + " | " + Escaped(LegalValues(field)) + " |\n";
}

constexpr char kMarkdownHead[] =
    "| flag | key | default | meaning | legal values |\n|---|---|---|---|---|\n";

bool IsCommon(const Field& field) { return field.section == kCommonSection || !field.in_file; }

}  // namespace

std::string ValueName(const Field& field) {
  if (const EnumRef* ref = field.Enum()) {
    std::string names;
    for (const std::string& name : ref->names) names += (names.empty() ? "" : "|") + name;
    return names;
  }
  std::string name = "TEXT";
  if (field.IsPath()) {
    name = "PATH";
  } else if (std::holds_alternative<double*>(field.value) ||
             std::holds_alternative<std::optional<double>*>(field.value) ||
             std::holds_alternative<std::vector<double>*>(field.value)) {
    name = "X";
  } else if (std::holds_alternative<int64_t*>(field.value) ||
             std::holds_alternative<std::optional<int64_t>*>(field.value) ||
             std::holds_alternative<std::vector<int64_t>*>(field.value)) {
    name = field.constraint.scale == Scale::kBytes ? "SIZE" : "N";
  }
  return field.IsList() ? name + ",..." : name;
}

std::string CommandHelp(const ProgramInfo& program, const CommandInfo& command,
                        const FieldTable& table) {
  std::string text = Wrap(program.name + " " + command.name + ": " + command.summary, 0) + "\n\n";
  text += "Usage: " + UsageLine(program, command, table) + "\n";
  std::string arguments, options, common;
  for (const Field& field : table.fields()) {
    if (field.positional) {
      arguments += Row(field.flag, HelpText(field));
    } else if (IsCommon(field)) {
      common += Row(FlagText(field), HelpText(field));
    }
  }
  if (!arguments.empty()) text += "\nArguments:\n" + arguments;
  for (const std::string& section : table.Sections()) {
    options.clear();
    for (const Field& field : table.fields()) {
      if (!field.positional && !IsCommon(field) && field.section == section) {
        options += Row(FlagText(field), HelpText(field));
      }
    }
    if (options.empty()) continue;
    text += (section.empty() ? "\nOptions:\n" : "\nOptions of [" + section + "]:\n") + options;
  }
  text += "\nOptions of every command:\n" + common;
  for (const FrameFlag& flag : FrameFlags()) {
    std::string name = flag.letter ? std::string("-") + flag.letter + ", " : "";
    name += flag.name + (flag.value.empty() ? "" : " " + flag.value);
    text += Row(name, flag.help);
  }
  std::istringstream details(command.details);
  for (std::string line, gap = "\n"; std::getline(details, line); gap.clear())
    text += gap + (line.size() > kWidth ? Wrap(line, 0) : line) + "\n";
  return text + "\nExample:\n  " + command.example + "\n";
}

std::string ProgramHelp(const ProgramInfo& program, std::span<const Command> commands) {
  std::string text = Wrap(program.name + ": " + program.summary, 0) + "\n\nUsage: " + program.name +
                     " SUBCOMMAND [options]\n\nSubcommands:\n";
  for (const Command& command : commands) text += Row(command.info.name, command.info.summary);
  text += "\n" + Row("-h, --help", "print this help; after a subcommand, that one's") +
          Row("--version", "print the versions of this build") +
          Row("--completion bash",
              "print a completion script: source <(" + program.name + " --completion bash)");
  if (!program.example.empty()) text += "\nExample:\n  " + program.example + "\n";
  return text;
}

std::string CommandMarkdown(const ProgramInfo& program, const CommandInfo& command,
                            const FieldTable& table) {
  std::string text = "## " + program.name + " " + command.name + "\n\n" + command.summary +
                     ".\n\n```\n" + UsageLine(program, command, table) + "\n```\n\nExample: `" +
                     command.example + "`\n\n";
  std::string rows;
  for (const Field& field : table.fields()) {
    if (!IsCommon(field)) rows += MarkdownRow(field);
  }
  if (!rows.empty()) text += kMarkdownHead + rows + "\n";
  return text;
}

std::string CommonMarkdown(const FieldTable& table) {
  std::string text = "## Options of every command\n\n";
  text += kMarkdownHead;
  for (const Field& field : table.fields()) {
    if (IsCommon(field)) text += MarkdownRow(field);
  }
  for (const FrameFlag& flag : FrameFlags()) {
    text += "| `" + flag.name + (flag.value.empty() ? "" : " " + flag.value) + "` | | | " +
            flag.help + " | |\n";
  }
  return text;
}

}  // namespace orchard::cli
