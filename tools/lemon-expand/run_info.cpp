#include "lemon-expand/run_info.h"

#include "call_info.h"

namespace orchard::lemon_expand {

run::RunInfo MakeRunInfo(const cli::Context& context, const std::string& device) {
  run::RunInfo info = orchard::MakeRunInfo(context);
  info.device = device;
  return info;
}

}  // namespace orchard::lemon_expand
