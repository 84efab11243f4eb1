// lemon-expand compare: the options, known to both halves.
#pragma once

#include <filesystem>

#include "cli/fields.h"
#include "expand/compare.h"

namespace orchard::lemon_expand {

struct CompareCommandOptions {
  std::filesystem::path source;
  expand::CompareOptions compare;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("source", source, "model to grow");
    compare.Fields(f);
  }
};

}  // namespace orchard::lemon_expand
