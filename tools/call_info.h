// What a run directory records of a call of any program: lib/run knows nothing of command lines,
// nor lib/cli of run directories.
#pragma once

#include "cli/program.h"
#include "run/run_dir.h"

namespace orchard {

// Program, subcommand, arguments, configuration and threads; the device is the CPU.
inline run::RunInfo MakeRunInfo(const cli::Context& context) {
  run::RunInfo info;
  info.program = context.program;
  info.command = context.command;
  info.arguments = context.arguments;
  info.config_toml = context.config_toml;
  info.threads = context.common.Threads();
  return info;
}

}  // namespace orchard
