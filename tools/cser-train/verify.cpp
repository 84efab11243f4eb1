// cser-train verify: what must hold of an algorithm, on a model and data of the user's.
#include "sync/verify.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "comm/launch.h"
#include "cser-train/tensor_commands.h"

namespace orchard::cser_train {

int RunVerify(const sync::VerifyOptions& options, const cli::Context& context) {
  RequireCpu(context);
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const auto data = sync::OpenTrainingData(options.train.data, seed);
  const sync::TrainSetting setting = SettingOf(context, seed);
  bool passes = true;
  comm::RunRanks({options.train.run.ranks}, [&](comm::Communicator& communicator) {
    const sync::Verification v =
        sync::Verify(options.train, setting, *data, options.steps, communicator);
    passes = v.passes();
    if (communicator.rank() > 0) return;
    if (context.common.json) {
      fmt::print("{}\n", sync::ToJson(v).dump());
      return;
    }
    fmt::print("{} on {} ranks, {} steps\n", v.algorithm, v.ranks, v.steps);
    for (const sync::Check& c : v.checks) {
      fmt::print("{}  {:<28} {:9.3g}  (at most {:g})\n", c.passes() ? "pass" : "FAIL", c.name,
                 c.value, c.limit);
    }
  });
  return static_cast<int>(passes ? ExitCode::kDone : ExitCode::kImpossible);
}

}  // namespace orchard::cser_train
