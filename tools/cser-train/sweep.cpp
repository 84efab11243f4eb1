// cser-train sweep: many runs, and one page.
#include "sync/sweep.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/logging.h"
#include "comm/mpi.h"
#include "cser-train/tensor_commands.h"

namespace orchard::cser_train {
namespace {

namespace fs = std::filesystem;

// How a run of an earlier, stopped sweep ended; nothing when it has to be run.
std::optional<sync::SweepOutcome> Finished(const fs::path& directory) {
  std::ifstream file(directory / "outcome.json");
  if (!file) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  if (json.is_null()) return sync::SweepOutcome{};
  return sync::ParseSyncResult(json);
}

sync::SweepOutcome RunOne(const sync::SweepRun& planned, const fs::path& directory,
                          const sync::TrainingData& data, const cli::Context& context) {
  sync::SweepOutcome outcome;
  try {
    outcome = TrainInto(directory, planned.options, data, planned.seed, context);
  } catch (const DivergedError& e) {
    LogWarning(fmt::format("{} diverged: {}", planned.name, e.what()));
  }
  const std::string text = outcome ? sync::ToJson(*outcome).dump(2) : "null";
  WriteFileAtomically(directory / "outcome.json", text + "\n");
  return outcome;
}

void Print(const std::vector<sync::SweepRow>& rows) {
  fmt::print("{:<12} {:>8} {:>8} {:>8} {:>9} {:>6} {:>9} {:>8}\n", "algorithm", "lr", "ratio",
             "true", "top-1 (%)", "+-", "diverged", "drift");
  for (const sync::SweepRow& r : rows) {
    const std::string ratio = r.ratio ? fmt::format("{:.4g}", *r.ratio) : "-";
    if (r.diverged == r.seeds) {
      fmt::print("{:<12} {:>8g} {:>8g} {:>8} {:>9} {:>6} {:>9}\n", r.algorithm, r.learning_rate,
                 r.nominal_ratio, ratio, "-", "-", fmt::format("{} of {}", r.diverged, r.seeds));
      continue;
    }
    fmt::print("{:<12} {:>8g} {:>8g} {:>8} {:>9.2f} {:>6.2f} {:>9} {:>8.3g}\n", r.algorithm,
               r.learning_rate, r.nominal_ratio, ratio, 100 * r.top1, 100 * r.deviation,
               fmt::format("{} of {}", r.diverged, r.seeds), r.drift);
  }
}

}  // namespace

int RunSweep(const sync::SweepOptions& options, const cli::Context& context) {
  if (!context.common.out) throw UsageError("a directory is needed", "--out");
  if (comm::LaunchedByMpi()) {
    throw UsageError("a sweep simulates its ranks in one process", "sweep",
                     "start it without mpirun");
  }
  RequireCpu(context);
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const auto runs = sync::PlanSweep(options, seed);
  const auto data = sync::OpenTrainingData(options.train.data, seed);
  const fs::path out = *context.common.out;
  std::vector<sync::SweepOutcome> outcomes;
  for (const sync::SweepRun& planned : runs) {
    const fs::path directory = out / planned.name;
    std::optional<sync::SweepOutcome> known;
    if (context.common.resume) known = Finished(directory);
    if (!known) known = RunOne(planned, directory, *data, context);
    outcomes.push_back(std::move(*known));
  }
  const auto rows = sync::Summarise(runs, outcomes);
  WriteFileAtomically(out / "report.html", sync::MakeSweepReport(runs, outcomes, out).Html());
  const nlohmann::json json = {{"rows", sync::ToJson(rows)}};
  WriteFileAtomically(out / "sweep.json", json.dump(2) + "\n");
  if (context.common.json) {
    fmt::print("{}\n", json.dump());
  } else {
    Print(rows);
    fmt::print("{}\n", (out / "report.html").string());
  }
  return 0;
}

}  // namespace orchard::cser_train
