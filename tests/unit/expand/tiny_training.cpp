#include "unit/expand/tiny_training.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/signals.h"
#include "comm/launch.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "io/json_lines.h"
#include "run/run_dir.h"

namespace orchard::expand {

namespace fs = std::filesystem;

TrainOptions TinyTraining() {
  TrainOptions o;
  o.model.hidden = 16;
  o.model.heads = 2;
  o.data.characters = 20000;
  o.data.block = 24;
  o.opt.lr = 3e-3;
  o.opt.ema = 0.9;
  o.sched.steps = 8;
  o.run.batch = 2;
  o.run.eval_every = 4;
  o.run.eval_batches = 4;
  return o;
}

TrainResult TrainInto(const fs::path& path, const TrainOptions& options, bool resume) {
  TrainResult result;
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& communicator) {
    const TrainSetting setting{.seed = 5, .progress = false};
    if (communicator.rank() > 0) {
      Train(options, setting, communicator, nullptr);
      return;
    }
    run::RunDir run(
        path, {.program = "test", .command = "train", .checkpoint_every = options.run.save_every},
        run::WhenExisting(false, resume));
    run.Record([&] {
      result = Train(options, setting, communicator, &run);
      return ToJson(result);
    });
  });
  return result;
}

void TrainOneStepInto(const fs::path& path, TrainOptions options, bool resume) {
  if (options.run.ranks == 0) options.run.ranks = 1;
  RequestStop(15);
  EXPECT_THROW(TrainInto(path, options, resume), InterruptedError);
  ClearStopRequest();
}

std::string FinalWeights(const fs::path& run) {
  return testing::ReadText(run / "final" / "model.safetensors");
}

std::vector<nlohmann::json> Metrics(const fs::path& run) {
  std::vector<nlohmann::json> all;
  io::JsonLinesReader lines(run / "metrics.jsonl");
  for (nlohmann::json line; lines.Next(line);) {
    line.erase("tokens_per_second");
    line.erase("peak_memory_bytes");
    all.push_back(line);
  }
  return all;
}

TrainResult TrainAndGrow(const testing::ScratchDir& scratch, TrainOptions options,
                         const TargetOptions& target, const MethodOptions& method) {
  options.run.precision = Precision::kF64;
  options.opt.ema = 0;
  const TrainResult result = TrainInto(scratch / "source", options);
  const SourceModel source = OpenModel(scratch / "source/final", {});
  ExpandModel(source, MakePlan(source, target, method), method, scratch / "grown", {});
  return result;
}

}  // namespace orchard::expand
