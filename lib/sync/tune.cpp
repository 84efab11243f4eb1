#include "sync/tune.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "io/json_file.h"
#include "sync/algorithm.h"
#include "sync/job_ranks.h"
#include "sync/replica.h"

namespace orchard::sync {
namespace {

constexpr int kWarmup = 2;  // steps that are not timed

// Mean over steps of the slowest rank's time (messages may come every H steps only). Ranks start
// every step together; weights do not move.
double TimeSteps(const SyncTrainOptions& options, const TrainSetting& setting,
                 const TrainingData& data, int64_t steps, comm::Communicator& ranks) {
  Replica replica(data.MakeNetwork(options.model, setting.seed));
  const auto algorithm =
      MakeAlgorithm<float>(options.optim, options.compress, replica.layout(), setting.seed);
  ThreadPool pool(setting.threads);
  const auto batches = data.Batches(options.data, ranks.rank(), ranks.size(), setting.seed, pool);
  algorithm->Begin(replica.values());
  algorithm->ResumeAt(0);
  const bool streams = options.compress.overlap && algorithm->Streams();
  double sum = 0;
  for (int64_t t = 1; t <= steps + kWarmup; ++t) {
    ranks.Barrier();
    const auto begin = std::chrono::steady_clock::now();
    const StepInput<float> input{.step = t,
                                 .learning_rate = 0,
                                 .values = replica.values(),
                                 .gradient = replica.gradient(),
                                 .ranks = ranks,
                                 .pool = setting.threads > 1 ? &pool : nullptr};
    const LabelledBatch batch = batches->Train(t - 1);
    if (streams) {
      replica.Gradient(
          batch.inputs, batch.labels, [&](double) { algorithm->Start(input); },
          [&](size_t slot) { algorithm->Ready(slot); });
      algorithm->Finish();
    } else {
      replica.Gradient(batch.inputs, batch.labels);
      algorithm->Step(input);
    }
    const double own =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::vector<double> all(static_cast<size_t>(ranks.size()));
    const std::vector<int64_t> counts(all.size(), 1);
    ranks.AllGather(std::span<const double>(&own, 1), std::span<double>(all), counts);
    if (t > kWarmup) sum += *std::max_element(all.begin(), all.end());
  }
  return sum / static_cast<double>(steps);
}

SyncTrainOptions With(SyncTrainOptions options, AlgorithmKind kind, int64_t interval) {
  options.optim.algo = kind;
  options.optim.impl = Implementation::kAuto;
  options.compress = {.interval = interval,
                      .bucket_mb = options.compress.bucket_mb,
                      .overlap = options.compress.overlap};
  return options;
}

}  // namespace

Tuning Tune(const SyncTrainOptions& options, const TrainSetting& setting, const TrainingData& data,
            int64_t steps, comm::Communicator& ranks) {
  if (ranks.size() < 2 || ranks.engine() == "simulation") {
    throw UsageError("there is no link between " +
                         std::string(ranks.size() < 2 ? "one rank and itself" : "simulated ranks"),
                     "tune", "start it with mpirun -n N or srun");
  }
  at::set_num_threads(setting.threads);
  Tuning t;
  t.ranks = ranks.size();
  t.algorithm = NameOf(options.optim.algo);
  t.link = FitLink(TimeAllReduces(ranks), ranks.size());
  {
    const Replica replica(data.MakeNetwork(options.model, setting.seed));
    t.parameters = replica.layout().elements();
    const auto algorithm =
        MakeAlgorithm<float>(options.optim, options.compress, replica.layout(), setting.seed);
    t.ratio = TrueRatio(*algorithm, replica.layout(), ranks.size(), 512);
  }
  const int64_t never = steps + kWarmup + 1;
  t.compute =
      TimeSteps(With(options, AlgorithmKind::kLocalSgd, never), setting, data, steps, ranks);
  t.dense = TimeSteps(With(options, AlgorithmKind::kSgd, 1), setting, data, steps, ranks);
  t.configured = TimeSteps(options, setting, data, steps, ranks);
  Advise(t);
  return t;
}

SyncTrainOptions TunedOptions(const SyncTrainOptions& options, const TrainSetting& setting,
                              const TrainingData& data, comm::Communicator& ranks, run::RunDir* run,
                              std::string& text) {
  JobRanks job(ranks, 0);
  const std::filesystem::path file = run != nullptr ? run->path() / "tuning.json" : "";
  std::string chosen;
  if (run != nullptr && run->resumed_from() && std::filesystem::exists(file)) {
    chosen = io::ReadJsonFile(file).dump();
  }
  chosen = job.BroadcastText(std::move(chosen));
  if (chosen.empty()) {
    // Apart from training, whose bytes are counted.
    const auto apart = ranks.Split(0);
    const Tuning tuning = Tune(options, setting, data, options.run.auto_tune_steps, *apart);
    const Replica replica(data.MakeNetwork(options.model, setting.seed));
    nlohmann::json json =
        ToJson(ChooseBy(tuning, options.optim, options.compress, replica.layout()));
    json["measured"] = ToJson(tuning);
    if (run != nullptr) WriteFileAtomically(file, json.dump(2) + "\n");
    // Ranks time for themselves: rank 0 decides.
    chosen = job.BroadcastText(json.dump());
  }
  SyncTrainOptions tuned = options;
  try {
    const TuningChoice choice = ParseTuningChoice(nlohmann::json::parse(chosen));
    ApplyChoice(choice, tuned.optim, tuned.compress);
    text = choice.text;
  } catch (const nlohmann::json::exception&) {
    throw DataError("not what a tuning chose", file.string());
  }
  if (run != nullptr) LogInfo(text);
  return tuned;
}

}  // namespace orchard::sync
