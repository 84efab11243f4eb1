// cser-train tune: what compression would bring on this link.
#include "sync/tune.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "comm/launch.h"
#include "cser-train/tensor_commands.h"

namespace orchard::cser_train {
namespace {

void Print(const sync::Tuning& t) {
  fmt::print("link of {} ranks: {} us latency, {} Mbit/s\n", t.ranks,
             FormatSignificant(1e6 * t.link.latency, 3),
             FormatSignificant(8e-6 * t.link.bandwidth, 3));
  for (const sync::StepPrediction& p : t.predictions) {
    fmt::print("ratio {:>5g}: {:>9} ms per step, {:.2f} times faster than dense\n", p.ratio,
               FormatSignificant(1e3 * p.seconds, 4), p.speedup);
  }
  fmt::print("{}\n", t.Text());
  if (t.advised_ratio > 1) {
    fmt::print("settings: --ratio {:g} --bucket-mb {} --delay {}\n", t.advised_ratio,
               FormatSignificant(t.bucket_mb, 3), t.delay);
  } else {
    fmt::print("settings: --algo sgd --bucket-mb {}\n", FormatSignificant(t.bucket_mb, 3));
  }
}

}  // namespace

int RunTune(const sync::TuneOptions& options, const cli::Context& context) {
  RequireCpu(context);
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const auto data = sync::OpenTrainingData(options.train.data, seed);
  const sync::TrainSetting setting = SettingOf(context, seed);
  comm::RunRanks({options.train.run.ranks}, [&](comm::Communicator& ranks) {
    const sync::Tuning tuning = sync::Tune(options.train, setting, *data, options.steps, ranks);
    if (ranks.rank() > 0) return;
    if (context.common.json) {
      fmt::print("{}\n", sync::ToJson(tuning).dump());
    } else {
      Print(tuning);
    }
  });
  return 0;
}

}  // namespace orchard::cser_train
