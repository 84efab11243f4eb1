// lemon-expand verify: the options, known to both halves.
#pragma once

#include <filesystem>

#include "cli/fields.h"
#include "expand/verify.h"

namespace orchard::lemon_expand {

struct VerifyCommandOptions {
  std::filesystem::path source, target, arch_map;
  expand::VerifyOptions verify;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("source", source, "the model that was grown");
    f.Positional("target", target, "the grown model");
    verify.Fields(f);
    f("arch_map", arch_map, "architecture table of your own (docs/formats.md)");
  }
};

}  // namespace orchard::lemon_expand
