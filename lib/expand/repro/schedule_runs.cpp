#include "expand/repro/schedule_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "expand/repro/small_model.h"

namespace orchard::expand::repro {
namespace {

constexpr double kWarmup = 0.05;  // of the steps from scratch, as many steps for every run
constexpr Method kBaselines[] = {Method::kFpi, Method::kAki, Method::kStackBert,
                                 Method::kHyperCloning, Method::kRandom};

int64_t StepsOf(const ScheduleSetting& setting, double horizon, const ModelSize& size) {
  // Models of another size get the same floating-point operations.
  const double share = StepFlops(setting.tier, setting.tier.target) / StepFlops(setting.tier, size);
  return std::max<int64_t>(1, std::llround(horizon * share * static_cast<double>(setting.steps)));
}

TrainOptions Training(const ScheduleSetting& setting, const ModelSize& size, int64_t steps,
                      double rate) {
  TrainOptions o;
  o.model.hidden = size.hidden;
  o.model.layers = size.layers;
  o.model.heads = size.heads;
  o.model.dropout = 0;
  o.data.block = setting.tier.block;
  o.data.characters = setting.characters;
  o.data.tokenizer = "bytes";
  o.opt.lr = kPeakLearningRate * rate;
  o.opt.weight_decay = 0.01;
  o.sched.steps = steps;
  o.sched.schedule.warmup = std::llround(kWarmup * static_cast<double>(setting.steps));
  o.run.batch = setting.tier.batch;
  o.run.eval_every = std::max<int64_t>(1, setting.steps / setting.evaluations);
  o.run.eval_batches = setting.evaluated_batches;
  o.run.log_every = std::max<int64_t>(1, setting.steps / 200);
  return o;
}

std::string SourceName(int64_t seed_index) { return fmt::format("seed{}/source", seed_index); }

ScheduleRun SourceRun(const ScheduleSetting& setting, int64_t seed_index) {
  ScheduleRun run{.start = Start::kSource, .seed_index = seed_index, .size = setting.tier.source};
  run.request.name = SourceName(seed_index);
  run.request.options = Training(setting, run.size, setting.steps, 1);
  run.request.seed = setting.seed + static_cast<uint64_t>(seed_index);
  return run;
}

ScheduleRun ScratchRun(const ScheduleSetting& setting, int64_t seed_index, double rate) {
  ScheduleRun run{.start = Start::kScratch,
                  .seed_index = seed_index,
                  .rate = rate,
                  .size = setting.tier.target};
  run.request.name = fmt::format("seed{}/scratch-lr{}", seed_index, rate);
  run.request.options = Training(setting, run.size, setting.steps, rate);
  run.request.seed = setting.seed + static_cast<uint64_t>(seed_index);
  return run;
}

ScheduleRun ExpandedRun(const ScheduleSetting& setting, int64_t seed_index, Method method,
                        double horizon, double rate) {
  const ScheduleTier& tier = setting.tier;
  ScheduleRun run{.start = Start::kExpanded,
                  .method = method,
                  .seed_index = seed_index,
                  .horizon = horizon,
                  .rate = rate,
                  .size = method == Method::kHyperCloning ? tier.multiple : tier.target};
  RunRequest& request = run.request;
  request.name = fmt::format("seed{}/{}-{}-lr{}", seed_index, Name(method), horizon, rate);
  request.options = Training(setting, run.size, StepsOf(setting, horizon, run.size), rate);
  request.seed = setting.seed + static_cast<uint64_t>(seed_index);
  request.after = SourceName(seed_index);
  const std::filesystem::path source = setting.directory / request.after / "final";
  const std::filesystem::path grown = setting.directory / (request.name + "-start");
  request.options.model.path = grown;
  const TargetOptions target{
      .hidden = run.size.hidden, .ffn = 4 * run.size.hidden, .layers = run.size.layers};
  request.prepare = [=, seed = request.seed] {
    Expand(source, grown, target, {.method = method}, seed);
  };
  return run;
}

}  // namespace

bool IsTried(double horizon, double rate) { return rate <= 1 || horizon == kHorizons[0]; }

ScheduleTier FindTier(Tier tier) {
  switch (tier) {
    case Tier::kGpu:
      return {"gpu", {3, 64, 4}, {6, 96, 6}, {6, 128, 8}, 256, 32, 5000};
    case Tier::kGpuLarge:
      return {"gpu-large", {6, 256, 4}, {12, 384, 6}, {12, 512, 8}, 256, 32, 5000};
    case Tier::kCpu:
      break;
  }
  return {"cpu", {2, 32, 4}, {4, 48, 6}, {4, 64, 8}, 64, 32, 2000};
}

std::vector<ScheduleRun> ScheduleRuns(const ScheduleSetting& setting) {
  std::vector<ScheduleRun> sources, runs;
  for (int64_t seed : setting.seed_indices) {
    sources.push_back(SourceRun(setting, seed));
    for (double rate : kRateFactors) {
      runs.push_back(ScratchRun(setting, seed, rate));
      for (double horizon : kHorizons) {
        if (!IsTried(horizon, rate)) continue;
        runs.push_back(ExpandedRun(setting, seed, Method::kLemon, horizon, rate));
      }
      for (Method method : kBaselines) {
        runs.push_back(ExpandedRun(setting, seed, method, kHorizons[0], rate));
      }
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [](const ScheduleRun& a, const ScheduleRun& b) {
    return a.horizon > b.horizon;
  });
  sources.insert(sources.end(), runs.begin(), runs.end());
  return sources;
}

std::string Label(const ScheduleRun& run) {
  if (run.start == Start::kSource) return "source";
  if (run.start == Start::kScratch) return "scratch";
  if (run.method == Method::kLemon) return "LEMON";
  return run.method == Method::kRandom ? "random, short schedule" : Name(run.method);
}

double StepFlops(const ScheduleTier& tier, const ModelSize& size) {
  const auto layers = static_cast<double>(size.layers), hidden = static_cast<double>(size.hidden);
  const double per_token =
      6 * 12 * layers * hidden * hidden + 12 * layers * hidden * static_cast<double>(tier.block);
  return per_token * static_cast<double>(tier.block * tier.batch);
}

}  // namespace orchard::expand::repro
