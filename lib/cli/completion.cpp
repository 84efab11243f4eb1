#include "cli/completion.h"

#include <string_view>

namespace orchard::cli {
namespace {

// "lemon-expand" as part of a function's name.
std::string Identifier(std::string text) {
  for (char& c : text) {
    if (c == '-' || c == '.') c = '_';
  }
  return text;
}

std::string Flags(const FieldTable& table) {
  std::string flags;
  for (const FrameFlag& flag : FrameFlags()) flags += flag.name + " ";
  for (const Field& field : table.fields()) {
    if (field.positional) continue;
    flags += field.flag + " ";
    if (field.IsBool() && !field.Negation().empty()) flags += field.Negation() + " ";
  }
  flags.pop_back();
  return flags;
}

std::string Keys(const FieldTable& table) {
  std::string keys;
  for (const Field& field : table.fields()) {
    if (field.in_file) keys += (keys.empty() ? "" : " ") + field.Path() + "=";
  }
  return keys;
}

// The values worth offering for a field: empty for a number or free text.
std::string Values(const Field& field) {
  if (field.constraint.suggestions) return field.constraint.suggestions;
  std::string values;
  if (const EnumRef* ref = field.Enum()) {
    for (const std::string& name : ref->names) values += (values.empty() ? "" : " ") + name;
  }
  return values;
}

// The case of one command in `case "$command $flag"`: what may follow a flag that takes a value.
std::string FlagCases(const std::string& command, const FieldTable& table) {
  std::string files = command + "\\ --config", none, text;
  for (const Field& field : table.fields()) {
    if (field.positional || field.IsBool()) continue;
    std::string pattern = command + "\\ " + field.flag;
    if (field.constraint.letter) {
      pattern += "|" + command + "\\ -" + std::string(1, field.constraint.letter);
    }
    const std::string values = Values(field);
    if (field.IsPath()) {
      files += "|" + pattern;
    } else if (values.empty()) {
      none += (none.empty() ? "" : "|") + pattern;
    } else {
      text += "    " + pattern + ") words='" + values + "' ;;\n";
    }
  }
  text += "    " + files + ") files=1 ;;\n";
  text += "    " + command + "\\ --set) words='" + Keys(table) +
          "'; compopt -o nospace 2>/dev/null ;;\n";
  if (!none.empty()) text += "    " + none + ") ;;\n";
  return text;
}

// Enumerations given by place are offered beside files.
std::string PlaceValues(const FieldTable& table) {
  std::string words;
  for (const Field& field : table.fields()) {
    if (field.positional) words += (words.empty() ? "" : " ") + Values(field);
  }
  return words;
}

constexpr std::string_view kScript =
    R"(# bash completion of @PROGRAM@; made by `@PROGRAM@ --completion bash`.
@FUNCTION@() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
  local words= files=
  COMPREPLY=()
  # bash splits --flag=value at the equals sign.
  if [[ $current == '=' ]]; then
    current=
  elif [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W '@COMMANDS@ --help --version --completion' -- "$current"))
    return
  fi
  case "$command $previous" in
    --completion\ --completion) words=bash ;;
@FLAG_CASES@    *)
      if [[ $current == -* ]]; then
        case $command in
@COMMAND_CASES@        esac
      else
        files=1
        case $command in
@PLACE_CASES@        esac
      fi ;;
  esac
  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    local IFS=$'\n'
    COMPREPLY+=($(compgen -f -- "$current"))
  fi
}
complete -F @FUNCTION@ @PROGRAM@
)";

void Replace(std::string& text, const std::string& mark, const std::string& value) {
  for (size_t i = 0; (i = text.find(mark, i)) != std::string::npos; i += value.size()) {
    text.replace(i, mark.size(), value);
  }
}

}  // namespace

std::string BashCompletion(const ProgramInfo& program, std::span<const Command> commands,
                           std::span<const FieldTable> tables) {
  std::string names, flag_cases, command_cases, place_cases;
  for (size_t i = 0; i < commands.size(); ++i) {
    const std::string& name = commands[i].info.name;
    names += (names.empty() ? "" : " ") + name;
    flag_cases += FlagCases(name, tables[i]);
    command_cases += "          " + name + ") words='" + Flags(tables[i]) + "' ;;\n";
    const std::string values = PlaceValues(tables[i]);
    if (!values.empty()) place_cases += "          " + name + ") words='" + values + "' ;;\n";
  }
  std::string script(kScript);
  Replace(script, "@FLAG_CASES@", flag_cases);
  Replace(script, "@COMMAND_CASES@", command_cases);
  Replace(script, "@PLACE_CASES@", place_cases);
  Replace(script, "@COMMANDS@", names);
  Replace(script, "@FUNCTION@", "_" + Identifier(program.name));
  Replace(script, "@PROGRAM@", program.name);
  return script;
}

}  // namespace orchard::cli
