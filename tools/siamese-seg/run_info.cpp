#include "siamese-seg/run_info.h"

namespace orchard::siamese_seg {

run::RunInfo MakeRunInfo(const cli::Context& context) {
  run::RunInfo info;
  info.program = context.program;
  info.command = context.command;
  info.arguments = context.arguments;
  info.config_toml = context.config_toml;
  info.threads = context.common.Threads();
  return info;
}

}  // namespace orchard::siamese_seg
