#include "expand/train_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "arch/resnet.h"
#include "base/error.h"
#include "io/json_file.h"
#include "nn/initialise.h"
#include "nn/model_directory.h"
#include "nn/network.h"
#include "nn/transformer_config.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using arch::Json;

constexpr const char* kAccount = "lemon_expand.json";
constexpr const char* kCompanions[] = {"tokenizer.json",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.txt",
                                       "vocab.json",
                                       "merges.txt",
                                       "generation_config.json",
                                       "preprocessor_config.json",
                                       kAccount};

nn::Task TaskOf(DataKind kind) {
  switch (kind) {
    case DataKind::kClm:
      return nn::Task::kNextToken;
    case DataKind::kMlm:
      return nn::Task::kMaskedTokens;
    case DataKind::kImage:
      break;
  }
  return nn::Task::kClassify;
}

void SetIf(Json& config, const std::string& key, const Json& value) {
  if (!key.empty()) config[key] = value;
}

void SetClasses(Json& config, int64_t classes) {
  config["id2label"] = Json::object();
  for (int64_t c = 0; c < classes; ++c) {
    config["id2label"][std::to_string(c)] = "class " + std::to_string(c);
  }
}

// config.json of a new model, under the names of its family.
Json NewConfig(const TrainModelOptions& o, const DataShape& shape) {
  const arch::Architecture& a = arch::FindArchitecture(o.type);
  if (o.hidden % o.heads != 0) {
    throw UsageError("the width is not a multiple of the heads", "model.heads");
  }
  Json config = {{"model_type", o.type}};
  SetIf(config, a.keys.hidden, o.hidden);
  for (const std::string& key : a.keys.also_hidden) config[key] = o.hidden;
  SetIf(config, a.keys.layers, o.layers);
  SetIf(config, a.keys.heads, o.heads);
  SetIf(config, a.keys.kv_heads, o.kv_heads > 0 ? o.kv_heads : o.heads);
  SetIf(config, a.keys.head_dim, o.hidden / o.heads);
  SetIf(config, a.keys.ffn, o.ffn > 0 ? o.ffn : 4 * o.hidden);
  if (a.image) {
    config["image_size"] = {shape.height, shape.width};
    config["patch_size"] = o.patch;
    config["num_channels"] = shape.channels;
    SetClasses(config, shape.classes);
    return config;
  }
  if (shape.vocabulary == 0) {
    throw UsageError("a new model for tokens needs to know their number", "data.tokenizer",
                     "name the tokenizer, or give model.path");
  }
  config["vocab_size"] = shape.vocabulary;
  // Roberta counts positions from 2.
  const int64_t positions =
      (o.positions > 0 ? o.positions : shape.block) + (o.type == "roberta" ? 2 : 0);
  config[o.type == "gpt2" ? "n_positions" : "max_position_embeddings"] = positions;
  return config;
}

Json ReadConfig(const fs::path& directory) {
  return Json::parse(io::ReadJsonFile(directory / "config.json").dump());
}

void SetDropout(nn::TransformerConfig& config, const TrainModelOptions& options) {
  if (options.dropout) {
    config.dropout.embedding = config.dropout.hidden = config.dropout.attention = *options.dropout;
  }
  if (options.drop_path) config.dropout.path = *options.drop_path;
}

// The key that loaders read the type of the weights from.
void SetStoredType(Json& config, Precision precision) {
  const char* name = precision == Precision::kF64 ? "float64" : "float32";
  config[config.contains("torch_dtype") ? "torch_dtype" : "dtype"] = name;
}

// `config`: of a directory, whose sizes a new network takes; null for the network that
// options.type names.
TrainModel FreshResNet(Json config, const TrainModelOptions& options, const DataShape& shape,
                       Precision precision, uint64_t seed) {
  arch::ResNetShape sizes = config.is_null()
                                ? arch::FindResNet(options.type)
                                : arch::ParseResNetConfig(config, options.path.string());
  sizes.classes = shape.classes;
  sizes.image_channels = shape.channels;
  if (config.is_null()) config = {{"image_size", shape.height}};
  SetClasses(config, shape.classes);
  return {arch::ResNetConfigJson(sizes, config),
          nn::Network(nn::ResNet(sizes, nn::InitialiseResNet(sizes, seed, WeightType(precision)),
                                 ScalarTypeOf(precision)))};
}

bool NamesResNet(const std::string& type) {
  return type.starts_with("resnet") || type.starts_with("wide_resnet");
}

TrainModel FreshModel(const TrainModelOptions& options, const DataShape& shape, DataKind kind,
                      Precision precision, uint64_t seed) {
  if (options.path.empty() && NamesResNet(options.type)) {
    return FreshResNet(Json(), options, shape, precision, seed);
  }
  Json config = options.path.empty() ? NewConfig(options, shape) : ReadConfig(options.path);
  if (config.value("model_type", "") == arch::kResNet) {
    return FreshResNet(std::move(config), options, shape, precision, seed);
  }
  const arch::Architecture& architecture =
      arch::FindArchitecture(config.value("model_type", std::string()));
  nn::TransformerConfig parsed = nn::ParseTransformerConfig(config, architecture.model_type);
  nn::Parameters parameters = nn::InitialiseTransformer(architecture, config,
                                                        {.task = TaskOf(kind),
                                                         .classes = shape.classes,
                                                         .seed = seed,
                                                         .dtype = WeightType(precision)});
  return {std::move(config), nn::Network(nn::Transformer(std::move(parsed), std::move(parameters),
                                                         ScalarTypeOf(precision)))};
}

TrainModel LoadedModel(const fs::path& path, Precision precision) {
  Json config;
  nn::Network network =
      nn::LoadNetwork(path, WeightType(precision), ScalarTypeOf(precision), &config);
  return {std::move(config), std::move(network)};
}

// Slots of the layers that an expansion added begin with one of these.
std::set<std::string> NewLayers(const fs::path& model) {
  const fs::path path = model / kAccount;
  if (model.empty() || !fs::exists(path)) {
    throw UsageError("train = new needs a model that was expanded", "model.train",
                     "there is no " + std::string(kAccount) + " beside it");
  }
  std::set<std::string> prefixes;
  const nlohmann::json account = io::ReadJsonFile(path);
  try {
    const nlohmann::json& layers = account.at("layers");
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string name = layers[i].value("name", "layer." + std::to_string(i));
      if (layers[i].at("new").get<bool>()) prefixes.insert(name + ".");
    }
  } catch (const nlohmann::json::exception& e) {
    throw DataError(std::string("not an account of an expansion: ") + e.what(), path.string());
  }
  return prefixes;
}

bool InLayers(const std::string& slot, const std::set<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (slot.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

at::ScalarType WeightType(Precision precision) {
  return precision == Precision::kF64 ? at::kDouble : at::kFloat;
}

at::ScalarType ScalarTypeOf(Precision precision) {
  return precision == Precision::kBf16 ? at::kBFloat16 : WeightType(precision);
}

TrainModel OpenTrainModel(const TrainModelOptions& options, const DataShape& shape, DataKind kind,
                          Precision precision, uint64_t seed) {
  const bool fresh = options.path.empty() || options.init == Initial::kRandom;
  TrainModel model = fresh ? FreshModel(options, shape, kind, precision, seed)
                           : LoadedModel(options.path, precision);
  if (nn::Transformer* transformer = model.network.transformer()) {
    SetDropout(transformer->config(), options);
  } else if (options.dropout.value_or(0) > 0 || options.drop_path.value_or(0) > 0) {
    throw UsageError("residual networks have no dropout and no stochastic depth", "model.dropout");
  }
  SetStoredType(model.config, precision);
  model.network.parameters().RequireGrad(true);
  return model;
}

TrainModel& OnDevice(TrainModel& model, c10::Device device) {
  if (device.is_cpu()) return model;
  for (const nn::Parameter& parameter : model.network.parameters().all()) {
    at::Tensor(parameter.value).set_data(parameter.value.to(device));
  }
  return model;
}

void LoadWeights(TrainModel& model, const fs::path& checkpoint) {
  const at::NoGradGuard no_grad;
  const at::ScalarType type = model.network.parameters().all().front().value.scalar_type();
  const nn::Network stored = nn::LoadNetwork(checkpoint, type, type);
  for (const nn::Parameter& parameter : model.network.parameters().all()) {
    const at::Tensor value = stored.parameters().Get(parameter.slot);
    if (value.sizes() != parameter.value.sizes()) {
      throw DataError("a tensor of another shape than the model's",
                      checkpoint.string() + ": " + parameter.name);
    }
    at::Tensor(parameter.value).copy_(value);
  }
}

std::vector<nn::OptimizedTensor> TrainedTensors(TrainModel& model, const TrainModelOptions& options,
                                                const nn::OptimizerOptions& optimizer) {
  const bool all = options.train == Trained::kAll;
  const std::set<std::string> layers = all ? std::set<std::string>() : NewLayers(options.path);
  std::vector<nn::OptimizedTensor> tensors;
  for (const nn::Parameter& parameter : model.network.parameters().all()) {
    if (parameter.measured) continue;
    if (!all && !InLayers(parameter.slot, layers)) {
      parameter.value.set_requires_grad(false);
      continue;
    }
    // "norm" has to find ln_1 and layernorm alike: the slot's name says what a tensor is.
    const bool decays = nn::DecaysWeight(parameter.name, optimizer.no_decay) &&
                        nn::DecaysWeight(parameter.slot, optimizer.no_decay);
    tensors.push_back({parameter.name, parameter.value, decays, 1});
  }
  if (tensors.empty()) throw UsageError("the expansion added no layers", "model.train");
  return tensors;
}

void SaveTrainModel(const TrainModel& model, const fs::path& source, const fs::path& directory) {
  nn::SaveModel(directory, model.config, model.network.parameters());
  if (source.empty()) return;
  for (const char* name : kCompanions) {
    if (!fs::exists(source / name)) continue;
    std::error_code error;
    fs::copy_file(source / name, directory / name, fs::copy_options::overwrite_existing, error);
    if (error) throw ResourceError("cannot copy: " + error.message(), (source / name).string());
  }
}

}  // namespace orchard::expand
