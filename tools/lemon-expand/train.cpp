// lemon-expand train: trains a model, expanded or new, with any number of ranks.
#include "expand/train.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/number_format.h"
#include "base/signals.h"
#include "comm/launch.h"
#include "expand/train_report.h"
#include "lemon-expand/run_info.h"
#include "lemon-expand/tensor_commands.h"
#include "nn/device.h"
#include "run/run_dir.h"

namespace orchard::lemon_expand {
namespace {

run::RunDir OpenRunDir(const expand::TrainOptions& options, const cli::Context& context,
                       const std::string& device) {
  run::RunInfo info = MakeRunInfo(context, device);
  info.trace = options.run.trace;
  info.checkpoint_every = options.run.save_every;
  return run::RunDir(*context.common.out, std::move(info),
                     run::WhenExisting(context.common.force, context.common.resume));
}

void Print(const expand::TrainResult& r) {
  fmt::print("{} steps in {:.1f} s, loss {:.4f} nat", r.steps, r.seconds, r.loss);
  if (r.valid_loss) fmt::print(", validation {:.4f} nat", *r.valid_loss);
  if (r.first_valid_loss) fmt::print(" (before: {:.4f})", *r.first_valid_loss);
  if (r.accuracy) fmt::print(", top-1 {:.2f} %", 100 * *r.accuracy);
  fmt::print("\n");
  for (const expand::TrainStage& stage : r.stages) {
    if (!stage.loss_after) continue;
    fmt::print("grew after step {} to {} parameters, validation {:.4f} nat (before: {:.4f})\n",
               stage.first_step, FormatCount(static_cast<double>(stage.parameters)),
               *stage.loss_after, *stage.loss_before);
  }
  if (r.best) {
    fmt::print("best validation after {:.4g} epochs (step {}), loss {:.4f}", r.best->epoch,
               r.best->step, r.best->loss);
    for (const auto& [name, value] : r.best->scores) fmt::print(", {} {:.4f}", name, value);
    fmt::print("\n{}\n", r.best_model.string());
  }
  fmt::print("{}\n", r.final.string());
}

}  // namespace

int RunTrain(const TrainCommandOptions& options, const cli::Context& context) {
  return TrainInRunDirectory(options, context);
}

int TrainInRunDirectory(const expand::TrainOptions& options, const cli::Context& context) {
  if (!context.common.out) {
    throw UsageError("a run directory is needed", "--out", "name one, e.g. --out runs/quick");
  }
  const std::string device = context.common.ResolvedDevice().Name();
  nn::UseDeterministicAlgorithms(context.common.deterministic);
  const StopSignals signals;
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& communicator) {
    const expand::TrainSetting setting{
        .seed = static_cast<uint64_t>(context.common.seed),
        .threads = context.common.Threads(),
        .device = device,
        .progress = !context.common.no_progress && !context.common.quiet};
    if (communicator.rank() > 0) {
      expand::Train(options, setting, communicator, nullptr);
      return;
    }
    run::RunDir directory = OpenRunDir(options, context, device);
    directory.Record([&] {
      const expand::TrainResult result = expand::Train(options, setting, communicator, &directory);
      directory.WriteReport(
          expand::MakeTrainReport(result, directory.path() / "metrics.jsonl", context.config_toml));
      const nlohmann::json json = expand::ToJson(result);
      if (context.common.json) {
        fmt::print("{}\n", json.dump());
      } else {
        Print(result);
      }
      return json;
    });
  });
  return 0;
}

}  // namespace orchard::lemon_expand
