#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/logging.h"
#include "base/subprocess.h"
#include "place/paper/placed.h"

namespace orchard::place::paper {
namespace {

struct Work {
  const char* name;   // of the case
  const char* label;  // in tables
  const char* train;  // of `run`
  const char* mode;   // of `place`
};
constexpr Work kWorks[] = {{"E7/forward", "forward pass", "none", "infer"},
                           {"E7/training", "training step", "sgd", "train"}};

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              fmt::format("baechi-place-bench-{}", getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Writes, measures, places and runs a two-tower model with this very program.
run::Numbers RunTwoTowers(const Work& work, const Setting& setting) {
  const Folder folder;
  const std::string model = folder / "model.pt", graph = folder / "graph.json";
  const std::string devices = folder / "devices.json", placement = folder / "placement.json";
  const std::string steps = setting.full ? "50" : "20";
  const std::vector<std::vector<std::string>> commands = {
      {"gen-model", model, "--model", "two-tower", "--batch", "256"},
      {"profile", model, "-o", graph},
      {"calibrate", "-o", devices, "--devices", "cpu:0,cpu:1"},
      {"place", graph, "--devices", devices, "--mode", work.mode, "--optimizer", "sgd", "-o",
       placement},
      {"run", model, placement, "--graph", graph, "--devices", devices, "--train", work.train,
       "--steps", steps, "--json"}};
  std::string out;
  for (std::vector<std::string> command : commands) {
    command.insert(command.begin(), setting.program.string());
    command.emplace_back("--no-progress");
    const ProcessOutcome outcome = RunProcess(command);
    if (outcome.exit_code != 0) {
      LogWarning(
          fmt::format("E7: {} ended with {}: {}", command[1], outcome.exit_code, outcome.error));
      return {{"exit_code", outcome.exit_code}};
    }
    out = outcome.out;
  }
  const auto json = nlohmann::json::parse(out);
  run::Numbers numbers = {{"exit_code", 0}};
  for (const char* key :
       {"measured_us", "predicted_us", "prediction_error", "single_device_us", "speedup"}) {
    numbers[key] = json.at(key).get<double>();
  }
  numbers["same_result"] = json.at("passed").get<bool>() ? 1 : 0;
  return numbers;
}

}  // namespace

std::vector<Case> ExecutionCases(const Setting& setting) {
  std::vector<Case> cases;
  for (const Work& work : kWorks)
    cases.push_back({work.name, [&setting, work] { return RunTwoTowers(work, setting); }, true});
  return cases;
}

run::ExperimentResult Execution(const Setting&, const Results& results) {
  run::ExperimentResult result;
  result.claim =
      "A two-tower model on two devices of this processor runs 1.5 times as fast as on one, within "
      "20 % of "
      "the time that was predicted, and computes the same.";
  run::Table table{.caption = "Median of the steps",
                   .columns = {"What", "One device (ms)", "Two devices (ms)", "Predicted (ms)"}};
  for (const Work& work : kWorks) {
    const double exit_code = results.At(work.name, "exit_code");
    if (exit_code != 0) {
      result.notes.push_back(fmt::format("{}: not run, the program ended with exit code {:g}.",
                                         work.label, exit_code));
      continue;
    }
    const auto measure = [&](const char* what, const char* key, run::Relation relation,
                             double limit, bool promised) {
      result.measurements.push_back({fmt::format("{}: {}", work.label, what), "",
                                     run::Single(results.At(work.name, key)),
                                     run::Expectation{relation, limit, promised}});
    };
    // Times depend on what else the machine does: findings, not promises.
    measure("speed-up over one device", "speedup", run::Relation::kAtLeast, 1.5, false);
    measure("error of the prediction", "prediction_error", run::Relation::kAtMost, 0.2, false);
    measure("same result as one device", "same_result", run::Relation::kAtLeast, 1, true);
    table.rows.push_back({work.label, Milliseconds(results.At(work.name, "single_device_us")),
                          Milliseconds(results.At(work.name, "measured_us")),
                          Milliseconds(results.At(work.name, "predicted_us"))});
  }
  if (!table.rows.empty()) result.tables = {table};
  return result;
}

}  // namespace orchard::place::paper
