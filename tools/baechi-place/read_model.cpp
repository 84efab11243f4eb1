#include "baechi-place/read_model.h"

#include "base/error.h"
#include "execute/exported_program.h"
#include "execute/torchscript.h"

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

}  // namespace orchard::baechi_place
