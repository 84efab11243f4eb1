// What a run directory records of a call.
#pragma once

#include "cli/program.h"
#include "run/run_dir.h"

namespace orchard::siamese_seg {

run::RunInfo MakeRunInfo(const cli::Context& context);

}  // namespace orchard::siamese_seg
