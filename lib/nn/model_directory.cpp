#include "nn/model_directory.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/json_file.h"
#include "io/torch/tensors.h"
#include "nn/timm_config.h"

namespace orchard::nn {
namespace {

// An absent file reads as an empty object: checkpoints of timm need none.
arch::Json ReadConfig(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return arch::Json::object();
  arch::Json config = arch::Json::parse(io::ReadJsonFile(path).dump());
  if (!config.is_object()) throw DataError("not a JSON object", path.string());
  return config;
}

const arch::Architecture& ArchitectureOf(const arch::Json& config, const std::string& where,
                                         const io::Checkpoint& checkpoint) {
  const auto it = config.find("model_type");
  if (it != config.end() && it->is_string()) {
    return arch::FindArchitecture(it->get<std::string>());
  }
  if (LooksLikeTimm(checkpoint)) return arch::FindArchitecture("timm_vit");
  throw DataError("missing key model_type", where);
}

// Whether a stored tensor is a second copy of another one: tying wins over what the file holds.
bool IsTiedCopy(const TransformerConfig& config, const std::string& slot) {
  return config.tied_head && (slot == "head.weight" || slot == "head.decoder_bias");
}

}  // namespace

ModelDirectory::ModelDirectory(std::unique_ptr<arch::Json> json,
                               const arch::Architecture& architecture, TransformerConfig config,
                               io::Checkpoint checkpoint)
    : json_(std::move(json)),
      architecture_(&architecture),
      config_(std::move(config)),
      checkpoint_(std::move(checkpoint)) {}

ModelDirectory::ModelDirectory(ModelDirectory&&) noexcept = default;
ModelDirectory::~ModelDirectory() = default;

ModelDirectory ModelDirectory::Open(const std::filesystem::path& model,
                                    const arch::Architecture* architecture) {
  std::error_code ignored;
  const bool is_directory = std::filesystem::is_directory(model, ignored);
  const std::filesystem::path path = (is_directory ? model : model.parent_path()) / "config.json";
  auto json = std::make_unique<arch::Json>(ReadConfig(path));
  io::Checkpoint checkpoint = io::Checkpoint::Open(model);
  if (architecture == nullptr) architecture = &ArchitectureOf(*json, path.string(), checkpoint);
  TransformerConfig config =
      architecture->sizes_from_tensors
          ? ParseTransformerConfig(CompleteTimmConfig(*json, *architecture, checkpoint),
                                   architecture->model_type)
          : ParseTransformerConfig(*json, architecture->model_type);
  return ModelDirectory(std::move(json), *architecture, std::move(config), std::move(checkpoint));
}

Parameters ModelDirectory::Load(const LoadOptions& options) const {
  Parameters parameters;
  std::string unknown;
  for (const io::TensorInfo& tensor : checkpoint_.tensors()) {
    const auto match = architecture_->Find(tensor.name);
    if (!match) {
      unknown += (unknown.empty() ? "" : ", ") + tensor.name;
      continue;
    }
    if (options.layer && *options.layer != match->layer) continue;
    const std::string slot = match->Slot();
    if (slot.empty() || IsTiedCopy(config_, slot)) continue;
    at::Tensor value = io::ReadTensor(checkpoint_, tensor.name);
    if (options.dtype) value = value.to(*options.dtype);
    if (options.requires_grad) value.requires_grad_(true);
    parameters.Add({tensor.name, slot, std::move(value)});
  }
  if (!unknown.empty()) {
    throw DataError("tensors that " + architecture_->model_type + " does not have: " + unknown,
                    checkpoint_.files().front().string());
  }
  return parameters;
}

Transformer ModelDirectory::LoadTransformer(at::ScalarType dtype, bool requires_grad) const {
  return Transformer(config_, Load({.dtype = dtype, .layer = {}, .requires_grad = requires_grad}),
                     dtype);
}

void SaveModel(const std::filesystem::path& directory, const arch::Json& config,
               const Parameters& parameters, std::optional<at::ScalarType> dtype) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw ResourceError("cannot make the folder", directory.string());
  std::map<std::string, at::Tensor> values;
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor value = parameter.value.detach();
    values[parameter.name] = dtype ? value.to(*dtype) : value;
  }
  io::SaveTensors(directory / "model.safetensors", values);
  WriteFileAtomically(directory / "config.json", config.dump(2) + "\n");
}

}  // namespace orchard::nn
