// What --help and --help-markdown print, from the field tables.
#pragma once

#include <span>
#include <string>

#include "cli/command.h"

namespace orchard::cli {

// What stands for a field's value: "N", "PATH", "grid|equal", "X,...".
std::string ValueName(const Field& field);

// Summary, usage, options by section, an example.
std::string CommandHelp(const ProgramInfo& program, const CommandInfo& command,
                        const FieldTable& table);

// Summary and the list of subcommands.
std::string ProgramHelp(const ProgramInfo& program, std::span<const Command> commands);

// A section of docs for one command: usage and a table of its options (common ones left out).
std::string CommandMarkdown(const ProgramInfo& program, const CommandInfo& command,
                            const FieldTable& table);

// The table of the options that all commands share.
std::string CommonMarkdown(const FieldTable& table);

}  // namespace orchard::cli
