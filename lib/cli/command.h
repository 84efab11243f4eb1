// One subcommand: from its declaration and a command line to resolved options.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/field_table.h"
#include "cli/program.h"

namespace orchard::cli {

struct Command {
  CommandInfo info;
  std::function<void(FieldVisitor&)> fields;  // visits the command's own options
  std::function<int(const Context&)> run;     // empty: in the tensor half
};

// The flags of every subcommand that say what to do with options and are none themselves.
struct FrameFlag {
  std::string name;
  char letter;
  ArgumentSyntax::Kind kind;
  std::string value;  // what stands for the value in help: "FILE"
  std::string help;
};
std::span<const FrameFlag> FrameFlags();

// The command's own fields, then [common], then the flags that are no keys. Points into `common`
// and the command's options.
FieldTable MakeTable(const Command& command, CommonOptions& common);

// What was asked for besides values.
struct Request {
  bool help = false;
  bool print_config = false;
};

// Resolves `table` from `arguments` (those after the subcommand): default < --config files < --set
// < flags and positionals. With --help, nothing is read. Throws UsageError.
Request Resolve(const std::vector<std::string>& arguments, FieldTable& table);

// Throws UsageError when something required was not given.
void CheckRequired(const FieldTable& table);

}  // namespace orchard::cli
