// Splits a command line into flags, their values and positionals (CLI11), without knowing what they
// mean.
#pragma once

#include <string>
#include <vector>

namespace orchard::cli {

// One flag or positional to look for.
struct ArgumentSyntax {
  enum class Kind { kFlag, kSwitch, kPositional };
  std::string name;         // "--steps", or a positional's name
  char letter = 0;          // 'o': -o is the same as name
  Kind kind = Kind::kFlag;  // kFlag takes a value; kSwitch does not, but --x=true|false is legal
  std::string negation;     // "--no-x" of the switch --x; may be empty
  bool list = false;        // of a positional: takes all that is left
};

struct ParsedArguments {
  std::vector<std::vector<std::string>>
      values;                        // of each syntax, as typed; a switch gives "true" or "false"
  std::vector<std::string> unknown;  // flags nobody asked for, and positionals too many
};

// Throws UsageError when a flag lacks its value. Flags may stand between positionals; after `--`
// all is positional.
ParsedArguments ParseArguments(const std::vector<ArgumentSyntax>& syntax,
                               const std::vector<std::string>& arguments);

}  // namespace orchard::cli
