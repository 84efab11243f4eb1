// siamese-seg train.
#include "segment/train.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/available_memory.h"
#include "base/error.h"
#include "base/logging.h"
#include "base/number_format.h"
#include "base/signals.h"
#include "call_info.h"
#include "comm/launch.h"
#include "segment/planner.h"
#include "siamese-seg/device.h"
#include "siamese-seg/tensor_commands.h"

namespace orchard::siamese_seg {
namespace {

run::RunInfo RunInfoOf(const segment::SegmentTrainOptions& options, const cli::Context& context,
                       c10::Device device) {
  run::RunInfo info = MakeRunInfo(context);
  info.device = device.str();
  info.trace = options.run.trace;
  return info;
}

// The plan that was named, or that lies in the data set, or a new one of the training cases.
segment::Plan PlanFor(const segment::SegmentTrainOptions& options, const segment::Dataset& dataset,
                      const segment::Split& split, const cli::Context& context) {
  if (options.data.plan) return segment::ReadPlan(*options.data.plan);
  const std::filesystem::path beside = options.data.path / "plan.json";
  if (std::filesystem::exists(beside)) return segment::ReadPlan(beside);
  segment::Dataset training = dataset;
  training.cases.clear();
  for (const size_t n : split.training) training.cases.push_back(dataset.cases[n]);
  segment::PlanOptions plan;
  plan.data = options.data.path;
  return segment::MakePlan(training, segment::TakeFingerprint(training, context.common.Threads()),
                           plan);
}

// Before hours of training rather than in their middle.
void CheckMemory(const segment::SegmentTrainOptions& options, const segment::Plan& plan) {
  const int64_t most = options.run.memory > 0 ? options.run.memory : AvailableMemoryBytes();
  const int64_t wanted = segment::TrainingBytes(plan);
  if (most == 0 || wanted <= most) return;
  const auto bytes = [](int64_t n) { return FormatBytes(static_cast<uint64_t>(n)); };
  const auto patch = segment::PatchWithin(plan, most);
  throw ResourceError(
      fmt::format("training on patches of {}x{}x{} takes about {}, and there are {}", plan.patch[0],
                  plan.patch[1], plan.patch[2], bytes(wanted), bytes(most)),
      "--plan",
      patch ? fmt::format("siamese-seg plan --patch {},{},{} fits", (*patch)[0], (*patch)[1],
                          (*patch)[2])
            : "no patch fits: fewer channels (plan --base-channels) or a smaller batch");
}

void Print(const segment::SegmentTrainResult& r, const segment::Plan& plan) {
  fmt::print("{} steps on {} cases in {} ({} of processor), {} parameters\n", r.steps,
             r.training_cases, FormatDuration(r.train_seconds), FormatDuration(r.cpu_seconds),
             FormatInteger(r.parameters));
  if (!r.cases.empty()) {
    fmt::print("mean foreground Dice {:.4f} on {} validation cases (", r.MeanDice(plan.classes()),
               r.cases.size());
    const std::vector<double> dice = r.ClassDice(plan.classes());
    for (size_t c = 0; c < dice.size(); ++c)
      fmt::print("{}{} {:.4f}", c == 0 ? "" : ", ", plan.labels[c].name, dice[c]);
    fmt::print(")\n");
  }
  fmt::print("{}\n", r.final.string());
}

}  // namespace

int RunTrain(const segment::SegmentTrainOptions& options, const cli::Context& context) {
  if (!context.common.dry_run && !context.common.out) {
    throw UsageError("a run directory is needed", "--out", "name one, e.g. --out runs/hippocampus");
  }
  const c10::Device device = DeviceFor(context);
  const segment::Dataset dataset = segment::FindDataset(options.data.path);
  for (const std::string& warning : dataset.warnings) LogWarning(warning);
  const segment::Split split =
      segment::ChooseSplit(options, dataset, static_cast<uint64_t>(context.common.seed));
  const segment::Plan plan = PlanFor(options, dataset, split, context);
  if (plan.labels != dataset.labels || plan.channels.size() != dataset.channels.size()) {
    throw UsageError("the plan is of a data set with other labels or channels", "--plan");
  }
  if (context.common.dry_run) {
    fmt::print("{}\n", segment::ToJson(plan).dump(context.common.json ? -1 : 2));
    return 0;
  }
  if (device.is_cpu()) CheckMemory(options, plan);
  const segment::TrainSetting setting = {
      .seed = static_cast<uint64_t>(context.common.seed),
      .threads = context.common.Threads(),
      .progress = !context.common.no_progress && !context.common.quiet,
      .device = device};
  const StopSignals signals;
  segment::SegmentTrainResult result;
  bool speaks = false;  // rank 0 of an MPI job, or the only one
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& ranks) {
    if (ranks.rank() > 0) {
      segment::TrainSegmentation(options, setting, dataset, split, plan, ranks, nullptr);
      return;
    }
    speaks = true;
    run::RunDir directory(*context.common.out, RunInfoOf(options, context, device),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&] {
      result =
          segment::TrainSegmentation(options, setting, dataset, split, plan, ranks, &directory);
      directory.WriteReport(segment::MakeTrainReport(
          result, plan, directory.path() / "metrics.jsonl", context.config_toml));
      return nlohmann::json(segment::ToJson(result, plan));
    });
  });
  if (!speaks) return 0;
  if (context.common.json) {
    fmt::print("{}\n", segment::ToJson(result, plan).dump());
  } else {
    Print(result, plan);
  }
  return 0;
}

}  // namespace orchard::siamese_seg
