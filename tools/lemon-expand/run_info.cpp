#include "lemon-expand/run_info.h"

#include "base/thread_pool.h"

namespace orchard::lemon_expand {

int Threads(const cli::Context& context) {
  return context.common.threads > 0 ? static_cast<int>(context.common.threads) : DefaultThreads();
}

run::RunInfo MakeRunInfo(const cli::Context& context, const std::string& device) {
  run::RunInfo info;
  info.program = context.program;
  info.command = context.command;
  info.arguments = context.arguments;
  info.config_toml = context.config_toml;
  info.device = device;
  info.threads = Threads(context);
  return info;
}

}  // namespace orchard::lemon_expand
