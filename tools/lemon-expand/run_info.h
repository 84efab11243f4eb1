// What a run directory records about the call.
#pragma once

#include <string>

#include "cli/program.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {

run::RunInfo MakeRunInfo(const cli::Context& context, const std::string& device);

}  // namespace orchard::lemon_expand
