#include "nn/model_directory.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "nn/tensor_bytes.h"
#include "nn/timm_config.h"

namespace orchard::nn {
namespace {

arch::Json ReadJson(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError("cannot read", path.string());
  try {
    return arch::Json::parse(in);
  } catch (const nlohmann::json::exception& e) {
    throw DataError(std::string("not JSON (") + e.what() + ")", path.string());
  }
}

std::string ModelType(const arch::Json& json, const std::string& where) {
  if (!json.is_object()) throw DataError("not a JSON object", where);
  if (const auto it = json.find("model_type"); it != json.end() && it->is_string()) return *it;
  if (const auto it = json.find("architecture"); it != json.end() && it->is_string()) {
    return TimmModelType(*it);
  }
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

ModelDirectory ModelDirectory::Open(const std::filesystem::path& directory,
                                    const arch::Architecture* architecture) {
  const std::filesystem::path path = directory / "config.json";
  auto json = std::make_unique<arch::Json>(ReadJson(path));
  if (architecture == nullptr) {
    architecture = &arch::FindArchitecture(ModelType(*json, path.string()));
  }
  io::Checkpoint checkpoint = io::Checkpoint::Open(directory);
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
    at::Tensor value = ReadTensor(checkpoint_, tensor);
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
  std::vector<io::TensorInfo> infos;
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor value =
        parameter.value.detach().to(at::kCPU, dtype.value_or(parameter.value.scalar_type()));
    values[parameter.name] = value.contiguous();
    io::TensorInfo info;
    info.name = parameter.name;
    info.dtype = DTypeOf(value.scalar_type());
    info.shape = value.sizes().vec();
    infos.push_back(std::move(info));
  }
  io::SafetensorsWriter writer(directory / "model.safetensors",
                               io::SafetensorsLayout(std::move(infos)));
  for (const io::TensorInfo& info : writer.layout().tensors()) {
    writer.Write(info, 0, TensorBytes(values.at(info.name)));
  }
  writer.Finish();

  WriteFileAtomically(directory / "config.json", config.dump(2) + "\n");
}

}  // namespace orchard::nn
