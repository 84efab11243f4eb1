#include "segment/model_directory.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "segment/model_file.h"

namespace orchard::segment {

namespace fs = std::filesystem;

void WriteModelDirectory(const fs::path& directory, const TemplateNetwork& network,
                         const TemplateBank& bank) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), directory.string());
  WritePlan(directory / "plan.json", network.plan());
  WriteFileAtomically(directory / "network.json", ToJson(network.options()).dump(2) + "\n");
  WriteBank(directory / "templates.h5", bank, network.plan());
  network.Save(directory / "model.safetensors");
}

SegmentationModel ReadModelDirectory(const fs::path& path) {
  if (fs::is_regular_file(path)) {
    if (path.extension() != ".safetensors") {
      throw DataError("no trained model", path.string(),
                      "a run of siamese-seg train, or a .safetensors file of siamese-seg export");
    }
    return ReadModelFile(path);
  }
  const fs::path directory = fs::is_directory(path / "final") ? path / "final" : path;
  if (!fs::exists(directory / "network.json")) {
    throw DataError("no trained model", path.string(), "the directory of siamese-seg train --out");
  }
  const Plan plan = ReadPlan(directory / "plan.json");
  const NetworkOptions options = ReadNetworkOptions(directory / "network.json");
  SegmentationModel model;
  model.network = std::make_unique<TemplateNetwork>(plan, options, 0);
  model.network->Load(directory / "model.safetensors");
  model.bank = ReadBank(directory / "templates.h5", plan);
  return model;
}

}  // namespace orchard::segment
