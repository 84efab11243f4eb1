#include "sync/run_plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sync/algorithm.h"
#include "sync/replica.h"

namespace orchard::sync {

RunPlan PlanRun(const SyncTrainOptions& options, const TrainingData& data, uint64_t seed) {
  const Replica replica(data.MakeNetwork(options.model, seed));
  const ResolvedAlgorithm resolved = Resolve(options.optim, options.compress);
  RunPlan plan;
  plan.algorithm = NameOf(options.optim.algo);
  plan.ranks = static_cast<int>(std::max<int64_t>(1, options.run.ranks));
  ThreadPool pool(1);
  const auto batches = data.Batches(options.data, 0, plan.ranks, seed, pool);
  plan.implementation = InCserFamily(options.optim.algo) ? resolved.implementation : 0;
  plan.interval = resolved.interval;
  plan.parameters = replica.layout().elements();
  plan.arena = replica.layout().size();
  const SelectorOptions& selector =
      options.optim.algo == AlgorithmKind::kCser ? resolved.c2_selector : resolved.c1_selector;
  plan.block = BlockFor(selector, plan.arena);
  plan.blocks = (plan.arena + plan.block - 1) / plan.block;
  plan.nominal_ratio = options.compress.ratio;
  plan.steps_per_epoch = batches->steps_per_epoch();
  plan.steps = std::max<int64_t>(
      1, std::llround(options.run.epochs * static_cast<double>(plan.steps_per_epoch)));
  if (options.run.max_steps > 0) plan.steps = std::min(plan.steps, options.run.max_steps);
  const LearningRate rate(options.schedule, plan.steps, plan.steps_per_epoch,
                          WarmupRatio(options.optim.algo, resolved));
  const RatioStages stages = StagesOf(options, rate, plan.steps);
  const auto algorithm =
      MakeAlgorithm<float>(options.optim, options.compress, replica.layout(), seed, stages);
  // Where the ratio changes all steps count; else some say what all send.
  const int64_t sampled = stages.empty() ? std::max<int64_t>(512, 2 * plan.interval) : plan.steps;
  plan.ratio = TrueRatio(*algorithm, replica.layout(), plan.ranks, sampled);
  const int n = std::max(2, plan.ranks);
  plan.bytes_per_step = BytesSent({.reduced = plan.arena}, n, sizeof(float)) / plan.ratio;
  plan.arena_bytes = 2 * plan.arena * static_cast<int64_t>(sizeof(float));
  for (const StateBuffer<float>& s : algorithm->State()) {
    plan.arena_bytes += static_cast<int64_t>(s.values.size_bytes());
  }
  plan.label_skew = batches->skew().measured;
  return plan;
}

nlohmann::json ToJson(const RunPlan& p) {
  return {{"algorithm", p.algorithm},
          {"ranks", p.ranks},
          {"implementation", p.implementation},
          {"interval", p.interval},
          {"parameters", p.parameters},
          {"arena", p.arena},
          {"block", p.block},
          {"blocks", p.blocks},
          {"nominal_ratio", p.nominal_ratio},
          {"ratio", p.ratio},
          {"bytes_per_step", p.bytes_per_step},
          {"steps", p.steps},
          {"steps_per_epoch", p.steps_per_epoch},
          {"arena_bytes", p.arena_bytes},
          {"label_skew", p.label_skew}};
}

}  // namespace orchard::sync
