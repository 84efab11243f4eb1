// Opens a source model and finds its architecture.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "arch/resnet.h"
#include "base/error.h"
#include "expand/plan.h"
#include "expand/resnet_sizes.h"
#include "io/json_file.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

// Sizes of a timm ViT from its tensors; heads of 64 unless a configuration says otherwise.
Json TimmConfig(const io::Checkpoint& weights, Json config, const std::string& where) {
  const auto extent = [&](const char* name, size_t axis) {
    const io::TensorInfo* info = weights.Find(name);
    if (!info || info->shape.size() <= axis)
      throw DataError(std::string("tensor is missing: ") + name, where);
    return info->shape[axis];
  };
  int64_t depth = 0;
  while (weights.Find("blocks." + std::to_string(depth) + ".attn.qkv.weight")) ++depth;
  const int64_t width = extent("cls_token", 2);
  const Json arguments = config.value("model_args", Json::object());
  config["embed_dim"] = width;
  config["depth"] = depth;
  config["mlp_hidden_dim"] = extent("blocks.0.mlp.fc1.weight", 0);
  if (!config.contains("num_heads"))
    config["num_heads"] = arguments.value("num_heads", std::max<int64_t>(1, width / 64));
  return config;
}

bool LooksLikeTimm(const io::Checkpoint& weights) {
  return weights.Find("cls_token") && weights.Find("blocks.0.attn.qkv.weight");
}

bool IsResNet(const Json& config, const io::Checkpoint& weights) {
  if (config.contains("model_type")) return config["model_type"] == arch::kResNet;
  return arch::LooksLikeResNet(weights);
}

}  // namespace

SourceModel OpenModel(const fs::path& path, const fs::path& arch_map) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw DataError("there is no such model", path.string());
  const bool is_directory = fs::is_directory(path, ignored);
  const fs::path directory = is_directory ? path : path.parent_path();
  const fs::path config_path = directory / "config.json";
  Json config = Json::object();
  const bool configured = fs::exists(config_path, ignored);
  if (configured) {
    const nlohmann::json read = io::ReadJsonFile(config_path);
    if (!read.is_object()) throw DataError("not a JSON object", config_path.string());
    config = Json::parse(read.dump());
  }
  io::Checkpoint weights = io::Checkpoint::Open(path);
  if (arch_map.empty() && IsResNet(config, weights)) {
    const arch::ResNetShape shape = arch::ReadResNetShape(weights, path.string());
    arch::CheckResNetConfig(shape, config, config_path.string());
    return {path,           directory,         arch::ResNetArchitecture(shape), std::move(config),
            SizesOf(shape), std::move(weights)};
  }
  if (!configured && is_directory && arch_map.empty()) {
    throw DataError("there is no config.json", path.string());
  }
  arch::Architecture architecture;
  const std::string where = config_path.string();
  if (!arch_map.empty()) {
    architecture = arch::LoadArchitecture(arch_map);
  } else if (config.contains("model_type")) {
    if (!config["model_type"].is_string()) throw DataError("'model_type' is not a string", where);
    architecture = arch::FindArchitecture(config["model_type"].get<std::string>());
  } else if (LooksLikeTimm(weights)) {
    architecture = arch::FindArchitecture("timm_vit");
    config = TimmConfig(weights, config, path.string());
  } else {
    throw DataError("'model_type' is missing", where, "--arch-map FILE describes the architecture");
  }
  const Sizes sizes = arch::ReadSizes(architecture, config, where);
  return {path, directory, std::move(architecture), std::move(config), sizes, std::move(weights)};
}

}  // namespace orchard::expand
