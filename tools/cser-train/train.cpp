// cser-train train and simulate.
#include "sync/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/number_format.h"
#include "base/signals.h"
#include "call_info.h"
#include "comm/launch.h"
#include "comm/mpi.h"
#include "comm/nccl_communicator.h"
#include "cser-train/tensor_commands.h"
#include "nn/device.h"
#include "run/run_dir.h"
#include "sync/run_plan.h"
#include "sync/train_report.h"

namespace orchard::cser_train {
namespace {

// The lines of the configuration that all ranks must share.
std::string SharedConfiguration(const std::string& toml) {
  std::istringstream text(toml);
  std::string shared;
  for (std::string line; std::getline(text, line);) {
    const std::string key = line.substr(0, line.find_first_of(" ="));
    if (line.empty() || line[0] == '#' || key == "out" || key == "threads") continue;
    shared += line + '\n';
  }
  return shared;
}

void Print(const sync::SyncResult& r) {
  fmt::print(
      "{} on {} ranks ({}): {} steps, test accuracy {:.2f} % (best {:.2f} %), drift {:.3g}\n",
      r.algorithm, r.ranks, r.engine, r.steps, 100 * r.top1, 100 * r.best_top1, r.drift);
  if (r.bits_per_byte) {
    fmt::print("{:.4f} bits per byte of the test text, perplexity {:.4f}\n", *r.bits_per_byte,
               std::exp(r.test_loss));
  }
  fmt::print("sent by rank 0: {}", FormatBytes(static_cast<uint64_t>(r.bytes_sent)));
  if (r.ratio) fmt::print(", {:.4g} times less than dense", *r.ratio);
  fmt::print("; {:.1f} s of training\n", r.train_seconds);
  for (const sync::ReachedTarget& t : r.targets) {
    fmt::print("{:.0f} % after epoch {:.3g}, {} sent, {:.1f} s\n", 100 * t.accuracy, t.epoch,
               FormatBytes(static_cast<uint64_t>(t.bytes_sent)), t.seconds);
  }
  fmt::print("{}\n", r.final.string());
}

void Print(const sync::RunPlan& p) {
  fmt::print(
      "{}{}, H = {}: {} parameters in {} blocks of {}, {} steps ({} per epoch)\n", p.algorithm,
      p.implementation > 0 ? fmt::format(" (implementation {})", p.implementation) : "", p.interval,
      FormatInteger(p.parameters), p.blocks, p.block, p.steps, p.steps_per_epoch);
  fmt::print("ratio {:.4g} (asked for: {:g}), {} sent per step by each of {} ranks\n", p.ratio,
             p.nominal_ratio, FormatBytes(static_cast<uint64_t>(p.bytes_per_step)),
             std::max(2, p.ranks));
  fmt::print("{} per rank for model, gradient and state\n",
             FormatBytes(static_cast<uint64_t>(p.arena_bytes)));
}

// --dry-run
void ShowPlan(const sync::RunPlan& plan, const cli::Context& context) {
  if (context.common.json) {
    fmt::print("{}\n", sync::ToJson(plan).dump());
  } else {
    Print(plan);
  }
}

run::RunInfo RunInfoOf(const sync::SyncTrainOptions& options, const cli::Context& context,
                       const sync::Device* device) {
  run::RunInfo info = MakeRunInfo(context);
  if (device != nullptr) info.device = "cuda:" + std::to_string(device->index());
  info.trace = options.run.trace;
  info.free_keys.emplace_back("ranks");  // another number starts from the averaged model
  return info;
}

// --resume of a run that is done and still has its model has nothing to do: its result again.
bool WasDone(const sync::SyncTrainOptions& options, const cli::Context& context) {
  if (!context.common.resume || !std::filesystem::exists(*context.common.out / "final"))
    return false;
  const auto result =
      run::ResultWhenDone(*context.common.out, RunInfoOf(options, context, nullptr));
  if (!result) return false;
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& communicator) {
    if (communicator.rank() > 0) return;
    if (context.common.json) {
      fmt::print("{}\n", result->dump());
    } else {
      fmt::print("{} was done: {} steps, test accuracy {:.2f} %\n", context.common.out->string(),
                 result->value("steps", int64_t{0}), 100 * result->value("top1", 0.0));
    }
  });
  return true;
}

}  // namespace

void RequireCpu(const cli::Context& context) {
  if (context.common.device == "auto" || context.common.device == "cpu") return;
  throw UsageError("this subcommand computes on the CPU", "--device", "--device cpu");
}

std::unique_ptr<sync::Device> DeviceOf(const cli::Context& context) {
  const std::string& name = context.common.device;
  // "auto" is the CPU: on a GPU nothing but the kernels has been tried so far.
  if (name == "auto" || name == "cpu") return nullptr;
  c10::Device device = nn::ResolveDevice(name);
  if (device.is_cpu()) return nullptr;
  nn::AllowTf32(false);
  nn::UseDeterministicAlgorithms(context.common.deterministic);
  // The ranks of a machine take its GPUs in turn, unless one is named.
  const int count = nn::CudaDeviceCount();
  const int index = device.has_index() && name.find(':') != std::string::npos
                        ? device.index()
                        : comm::LocalRank() % std::max(1, count);
  return sync::Device::Cuda(index);
}

sync::TrainSetting SettingOf(const cli::Context& context, uint64_t seed) {
  return {.seed = seed,
          .threads = context.common.Threads(),
          .progress = !context.common.no_progress && !context.common.quiet,
          .configuration = SharedConfiguration(context.config_toml)};
}

sync::SyncResult TrainInto(const std::filesystem::path& out, const sync::SyncTrainOptions& options,
                           const sync::TrainingData& data, uint64_t seed,
                           const cli::Context& context, const sync::Device* device) {
  sync::TrainSetting setting = SettingOf(context, seed);
  setting.device = device;
  const StopSignals signals;
  sync::SyncResult result;
  comm::RunRanks({options.run.ranks}, [&](comm::Communicator& communicator) {
    if (communicator.rank() > 0) {
      sync::Train(options, setting, data, communicator, nullptr);
      return;
    }
    run::RunDir directory(out, RunInfoOf(options, context, device),
                          run::WhenExisting(context.common.force, context.common.resume));
    directory.Record([&] {
      result = sync::Train(options, setting, data, communicator, &directory);
      directory.WriteReport(
          sync::MakeTrainReport(result, directory.path() / "metrics.jsonl", context.config_toml));
      return sync::ToJson(result);
    });
  });
  return result;
}

int RunTrain(const sync::SyncTrainOptions& options, const cli::Context& context) {
  if (!context.common.dry_run && !context.common.out) {
    throw UsageError("a run directory is needed", "--out", "name one, e.g. --out runs/cser");
  }
  if (!context.common.dry_run && WasDone(options, context)) return 0;
  const std::unique_ptr<sync::Device> device = DeviceOf(context);
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const auto data = sync::OpenTrainingData(options.data, seed);
  if (context.common.dry_run) {
    ShowPlan(sync::PlanRun(options, *data, seed), context);
    return 0;
  }
  const sync::SyncResult result =
      TrainInto(*context.common.out, options, *data, seed, context, device.get());
  if (result.steps == 0) return 0;  // another rank of an MPI job speaks
  if (context.common.json) {
    fmt::print("{}\n", sync::ToJson(result).dump());
  } else {
    Print(result);
  }
  return 0;
}

int RunSimulate(const SimulateOptions& options, const cli::Context& context) {
  if (options.run.ranks == 0) throw UsageError("how many ranks?", "--ranks", "at least one");
  if (comm::LaunchedByMpi()) {
    throw UsageError("simulated ranks live in one process", "simulate", "cser-train train");
  }
  return RunTrain(options, context);
}

}  // namespace orchard::cser_train
