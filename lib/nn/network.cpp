#include "nn/network.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "arch/resnet.h"
#include "base/error.h"
#include "io/json_file.h"
#include "nn/model_directory.h"

namespace orchard::nn {
namespace {

namespace fs = std::filesystem;
using arch::Json;

// config.json of a model directory or beside a file; an empty object where there is none.
Json ConfigOf(const fs::path& model) {
  std::error_code ignored;
  const fs::path path =
      (fs::is_directory(model, ignored) ? model : model.parent_path()) / "config.json";
  if (!fs::exists(path, ignored)) return Json::object();
  Json config = Json::parse(io::ReadJsonFile(path).dump());
  if (!config.is_object()) throw DataError("not a JSON object", path.string());
  return config;
}

}  // namespace

ModelOutput Network::Forward(const Batch& batch, const TrainingContext* training) const {
  if (const Transformer* model = transformer()) return model->Forward(batch, training);
  if (!batch.images.defined()) throw UsageError("a residual network needs images", "data.kind");
  ModelOutput output;
  output.class_logits = training != nullptr ? resnet()->Forward(batch.images, output.measured)
                                            : resnet()->Forward(batch.images);
  return output;
}

const Parameters& Network::parameters() const {
  return std::visit([](const auto& model) -> const Parameters& { return model.parameters(); },
                    model_);
}

Parameters& Network::parameters() {
  return std::visit([](auto& model) -> Parameters& { return model.parameters(); }, model_);
}

bool HoldsResNet(const fs::path& model) {
  const Json config = ConfigOf(model);
  if (config.contains("model_type")) return config["model_type"] == arch::kResNet;
  return arch::LooksLikeResNet(io::Checkpoint::Open(model));
}

Network LoadNetwork(const fs::path& model, at::ScalarType dtype, at::ScalarType compute,
                    Json* config) {
  if (HoldsResNet(model)) {
    ResNet network = LoadResNet(io::Checkpoint::Open(model), dtype, compute);
    const Json stored = ConfigOf(model);
    arch::CheckResNetConfig(network.shape(), stored, model.string());
    if (config != nullptr) *config = arch::ResNetConfigJson(network.shape(), stored);
    return Network(std::move(network));
  }
  const ModelDirectory directory = ModelDirectory::Open(model);
  if (config != nullptr) *config = directory.json();
  return Network(
      Transformer(directory.config(), directory.Load({.dtype = dtype, .layer = {}}), compute));
}

}  // namespace orchard::nn
