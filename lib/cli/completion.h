// Shell completion from the field tables.
#pragma once

#include <span>
#include <string>

#include "cli/command.h"

namespace orchard::cli {

// A bash script that completes subcommands, flags, enumeration values, keys of --set and files.
// `tables` holds the table of each command, in the same order.
std::string BashCompletion(const ProgramInfo& program, std::span<const Command> commands,
                           std::span<const FieldTable> tables);

}  // namespace orchard::cli
