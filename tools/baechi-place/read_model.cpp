#include "baechi-place/read_model.h"

#include "base/error.h"
#include "execute/exported_program.h"
#include "execute/program_graph.h"
#include "execute/torchscript.h"
#include "place/training_step.h"

namespace orchard::baechi_place {

bool IsTorchScript(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".pt" || extension == ".ts" || extension == ".pth";
}

execute::Program ReadModel(const std::filesystem::path& path, const execute::InputOptions& inputs,
                           const cli::Context& context) {
  std::vector<execute::InputSpec> specs;
  for (const std::string& text : inputs.input) specs.push_back(execute::ParseInputSpec(text));
  if (IsTorchScript(path))
    return execute::ReadTorchScript(path, specs, static_cast<uint64_t>(context.common.seed));
  if (path.extension() == ".pt2")
    return execute::ReadExportedProgram(path, specs, static_cast<uint64_t>(context.common.seed));
  throw UsageError("not a model that can be run", path.string(),
                   "TorchScript files are called .pt or .ts, those of torch.export .pt2");
}

place::Graph ImportTorchGraph(const ImportCommandOptions& options, const cli::Context& context,
                              place::ImportReport& report) {
  const execute::Program program = ReadModel(options.model_file, options.inputs, context);
  report.format = IsTorchScript(options.model_file) ? "TorchScript" : "torch.export";
  for (const execute::Operator& op : program.operators) {
    report.flops += op.flops;
    if (place::IsDense(op.kind.substr(op.kind.rfind(':') + 1))) report.dense_flops += op.flops;
  }
  report.notes.push_back("times follow from shapes; profile measures them");
  if (!program.no_training.empty()) report.notes.push_back("no training: " + program.no_training);
  return execute::MakeGraph(program, execute::AnalyticCosts(program, options.import.preset));
}

}  // namespace orchard::baechi_place
