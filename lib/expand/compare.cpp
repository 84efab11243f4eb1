#include "expand/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/scratch_directory.h"
#include "expand/expand_model.h"
#include "expand/flops.h"
#include "expand/lesa.h"
#include "expand/plan.h"
#include "expand/unit_divergence.h"
#include "nn/model_directory.h"
#include "nn/network.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEvaluations = 20;  // over a training
constexpr double kWarmup = 0.05;      // of its steps

MethodOutcome Grow(const SourceModel& source, Method method, const CompareOptions& options,
                   const fs::path& destination, const CompareSetting& setting) {
  MethodOutcome outcome{.method = method};
  // Lossy methods need no leave: to see what they lose is the point.
  const MethodOptions how{.method = method};
  const Plan plan = MakePlan(source, options.target, how);
  std::optional<LesaResult> predicted;
  if (method == Method::kLesa) {
    predicted.emplace(PredictLayers(source, plan,
                                    {.epochs = how.lesa_epochs,
                                     .seed = setting.seed,
                                     .threads = setting.threads,
                                     .scratch = options.scratch}));
  }
  const ExpandReport report = ExpandModel(
      predicted ? predicted->source : source, predicted ? predicted->plan : plan, how, destination,
      {.threads = setting.threads, .seed = setting.seed, .force = true, .hash_sources = false});
  outcome.lossless = plan.lossless;
  outcome.exactness = Name(plan.exactness);
  outcome.layers = plan.target.layers;
  outcome.parameters = plan.parameters();
  outcome.seconds = report.seconds;
  const nn::Network grown = nn::LoadNetwork(destination, at::kFloat, at::kFloat);
  outcome.divergence = grown.resnet() != nullptr ? UnitDivergence(*grown.resnet(), plan)
                                                 : UnitDivergence(*grown.transformer(), plan.maps);
  return outcome;
}

void AddVerification(const VerifyResult& result, MethodOutcome& outcome) {
  outcome.relative = result.relative;
  outcome.loss = result.loss_target;
  outcome.kullback_leibler = result.kullback_leibler;
  outcome.top1_agreement = result.top1_agreement;
  outcome.cosine_difference = result.cosine_difference;
}

DataKind KindOf(const fs::path& model) {
  const arch::Architecture architecture = OpenModel(model, {}).architecture;
  if (architecture.is_resnet() || architecture.image) return DataKind::kImage;
  const bool causal = nn::ModelDirectory::Open(model).config().causal;
  return causal ? DataKind::kClm : DataKind::kMlm;
}

TrainOptions TrainingOf(const fs::path& grown, const CompareOptions& options, DataKind kind,
                        int64_t steps) {
  const ContinuedTraining& t = options.training;
  TrainOptions o;
  o.model.path = grown;
  o.model.dropout = t.dropout;
  o.data.kind = kind;
  o.data.train = t.data;
  o.data.block = t.block > 0 ? t.block : options.length;
  o.opt.lr = t.learning_rate;
  o.sched.steps = steps;
  o.sched.schedule.warmup = std::llround(kWarmup * static_cast<double>(steps));
  o.run.batch = t.batch;
  o.run.eval_every = std::max<int64_t>(1, steps / kEvaluations);
  o.run.log_every = std::max<int64_t>(1, steps / 200);
  return o;
}

std::vector<double> Each(const std::vector<RunOutcome>& runs, const Curve RunOutcome::*curve,
                         bool last) {
  std::vector<double> values;
  for (const RunOutcome& run : runs) {
    const std::vector<double>& all = (run.*curve).values;
    if (all.empty()) continue;
    const bool lost = last && run.diverged;
    values.push_back(lost   ? std::numeric_limits<double>::quiet_NaN()
                     : last ? all.back()
                            : all.front());
  }
  return values;
}

std::optional<run::Estimate> EstimateOf(const std::vector<double>& values) {
  return values.empty() ? std::nullopt : std::optional(run::MeanOf(values));
}

// Trains on from what was grown in `grown` / method.
void TrainOn(const CompareOptions& options, const CompareSetting& setting, const fs::path& grown,
             const fs::path& trainings, std::vector<MethodOutcome>& methods) {
  std::vector<MethodOutcome*> reached;
  std::vector<double> flops;
  for (MethodOutcome& m : methods) {
    if (!m.refused.empty()) continue;
    reached.push_back(&m);
    flops.push_back(TrainingFlopsPerToken(
        OpenModel(grown / Name(m.method), {}),
        options.training.block > 0 ? options.training.block : options.length));
  }
  if (reached.empty()) return;
  const double widest = *std::max_element(flops.begin(), flops.end());
  const DataKind kind = KindOf(grown / Name(reached.front()->method));
  std::vector<RunRequest> requests;
  for (size_t i = 0; i < reached.size(); ++i) {
    MethodOutcome& m = *reached[i];
    m.steps = std::max<int64_t>(
        1, std::llround(widest / flops[i] * static_cast<double>(options.training.steps)));
    for (int64_t run = 0; run < options.training.runs; ++run) {
      const uint64_t seed = setting.seed + static_cast<uint64_t>(run);
      requests.push_back({.name = std::string(Name(m.method)) + "-seed" + std::to_string(seed),
                          .options = TrainingOf(grown / Name(m.method), options, kind, m.steps),
                          .seed = seed});
    }
  }
  // On a GPU, runs side by side would only share it.
  const std::vector<RunOutcome> outcomes =
      TrainAll(requests, {.directory = trainings,
                          .threads = setting.device == "cpu" ? setting.threads : 1,
                          .device = setting.device,
                          .on_start = setting.on_step});
  for (size_t i = 0; i < reached.size(); ++i) {
    MethodOutcome& m = *reached[i];
    const auto first = outcomes.begin() + static_cast<int64_t>(i) * options.training.runs;
    m.trainings.assign(first, first + options.training.runs);
    m.first_loss = EstimateOf(Each(m.trainings, &RunOutcome::valid_loss, false));
    m.final_loss = EstimateOf(Each(m.trainings, &RunOutcome::valid_loss, true));
    m.trained_divergence = EstimateOf(Each(m.trainings, &RunOutcome::divergence, true));
  }
}

}  // namespace

Comparison Compare(const fs::path& source_path, const CompareOptions& options,
                   const CompareSetting& setting) {
  const SourceModel source = OpenModel(source_path, {});
  // What is wrong with the question itself is not the methods' to answer.
  ResolveSizes(source.architecture, source.sizes, options.target, {.allow_lossy = true});
  const ScratchDirectory scratch(options.scratch);
  // Trainings that are kept need what they began from.
  const bool train = options.training.steps > 0;
  const fs::path trainings = setting.trainings.empty() ? scratch / "trainings" : setting.trainings;
  const fs::path folder = train ? trainings / "start" : scratch / "grown";
  if (train) fs::create_directories(folder);
  const VerifyOptions inputs{.compute = options.compute,
                             .tokens = options.tokens,
                             .batch = options.batch,
                             .length = options.length};
  Comparison comparison;
  for (const auto& [name, method] : kMethodNames) {
    if (method == Method::kSlices) continue;  // needs a file of its own
    if (setting.on_step) setting.on_step(name);
    const fs::path grown = train ? folder / name : folder;
    try {
      MethodOutcome outcome = Grow(source, method, options, grown, setting);
      const VerifyResult result = Verify(source_path, grown, inputs, setting.seed);
      AddVerification(result, outcome);
      comparison.source_loss = result.loss_source;
      comparison.methods.push_back(std::move(outcome));
    } catch (const ImpossibleError& error) {
      comparison.methods.push_back({.method = method, .refused = error.what()});
    } catch (const UsageError& error) {
      comparison.methods.push_back({.method = method, .refused = error.what()});
    }
  }
  if (train) TrainOn(options, setting, folder, trainings, comparison.methods);
  return comparison;
}

}  // namespace orchard::expand
