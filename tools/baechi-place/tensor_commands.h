// The subcommands on tensors: their options, which both executables know, and what runs them, which
// only libexec/orchard/baechi-place-tensor has. To add one: its options and its member of
// TensorRuns here, its `Add` in tensor_commands.cpp, and `RunX` in a file of its own.
#pragma once

#include <functional>

#include "cli/program.h"
#include "execute/options.h"
#include "place/options.h"

namespace orchard::baechi_place {

inline constexpr char kName[] = "baechi-place";
inline constexpr char kSummary[] =
    "places the operators of a model's graph on devices with limited memory";

struct GenModelCommandOptions {
  std::filesystem::path output;
  execute::ModelOptions model;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("output", output, "TorchScript file to write");
    model.Fields(f);
  }
};

struct ProfileCommandOptions {
  std::filesystem::path model;
  std::optional<std::filesystem::path> output;
  execute::InputOptions inputs;
  execute::ProfileOptions profile;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "TorchScript file (.pt, .ts) or torch.export archive (.pt2)");
    f("output", output, "graph file to write; without: graph.json in --out", cli::Letter('o'));
    f.Section("inputs", inputs);
    f.Section("profile", profile);
  }
};

struct CalibrateCommandOptions {
  std::optional<std::filesystem::path> output;
  execute::CalibrateOptions calibrate;

  void Fields(cli::FieldVisitor& f) {
    f("output", output, "devices file to write; without: devices.json in --out", cli::Letter('o'));
    calibrate.Fields(f);
  }
};

struct RunCommandOptions {
  std::filesystem::path model, placement;
  std::optional<std::filesystem::path> graph, results;
  bool trace = false;
  execute::InputOptions inputs;
  execute::RunOptions run;
  place::DeviceOptions devices;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "TorchScript file (.pt, .ts) or torch.export archive (.pt2)");
    f.Positional("placement", placement, "placement file");
    f("graph", graph,
      "graph that was placed, for the prediction; without: the model is profiled again");
    f("results", results,
      "safetensors file to write: input0.., output0.. and gradient.NAME of the checked step");
    f("trace", trace, "trace.json in --out: predicted and measured step for ui.perfetto.dev");
    f.Section("inputs", inputs);
    f.Section("run", run);
    f.Section("devices", devices);
  }
};

template <class Options>
using Run = std::function<int(const Options&, const cli::Context&)>;

// One function each; empty in bin/baechi-place, which starts the tensor half instead.
struct TensorRuns {
  Run<GenModelCommandOptions> gen_model;
  Run<ProfileCommandOptions> profile;
  Run<CalibrateCommandOptions> calibrate;
  Run<RunCommandOptions> run;
};

void AddTensorCommands(cli::Program& program, const TensorRuns& runs);

int RunGenModel(const GenModelCommandOptions& options, const cli::Context& context);
int RunProfile(const ProfileCommandOptions& options, const cli::Context& context);
int RunCalibrate(const CalibrateCommandOptions& options, const cli::Context& context);
int RunRun(const RunCommandOptions& options, const cli::Context& context);

}  // namespace orchard::baechi_place
