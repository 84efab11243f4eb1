// The subcommands of baechi-place. To add one: a file with `void AddX(cli::Program&)`, its
// declaration here and its call in main.cpp.
#pragma once

#include "cli/program.h"

namespace orchard::baechi_place {

void AddPlace(cli::Program& program);
void AddSimulate(cli::Program& program);
void AddOptimal(cli::Program& program);
void AddLimits(cli::Program& program);
void AddCompare(cli::Program& program);
void AddBench(cli::Program& program);
void AddInspect(cli::Program& program);
void AddGen(cli::Program& program);
void AddExport(cli::Program& program);

}  // namespace orchard::baechi_place
