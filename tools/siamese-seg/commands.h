// The subcommands of siamese-seg. To add one: a file with `void AddX(cli::Program&)`, its
// declaration here and its call in main.cpp.
#pragma once

#include "cli/program.h"

namespace orchard::siamese_seg {

void AddConvert(cli::Program& program);
void AddInspect(cli::Program& program);

}  // namespace orchard::siamese_seg
