#include "expand/train_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "arch/resnet.h"
#include "base/error.h"
#include "expand/provenance.h"
#include "io/json_file.h"
#include "nn/initialise.h"
#include "nn/model_directory.h"
#include "nn/network.h"
#include "nn/transformer_config.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using arch::Json;

constexpr const char* kCompanions[] = {"tokenizer.json",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.txt",
                                       "vocab.json",
                                       "merges.txt",
                                       "generation_config.json",
                                       "preprocessor_config.json",
                                       "lemon_expand.json"};

nn::Task TaskOf(DataKind kind) {
  switch (kind) {
    case DataKind::kClm:
      return nn::Task::kNextToken;
    case DataKind::kMlm:
      return nn::Task::kMaskedTokens;
    case DataKind::kImage:
    case DataKind::kLabels:
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
    config.dropout.embedding = config.dropout.hidden = config.dropout.attention =
        config.dropout.classifier = *options.dropout;
  }
  if (options.drop_path) config.dropout.path = *options.drop_path;
}

// What transformers needs to know about a head for labels.
void SetLabels(Json& config, const DataShape& shape, const std::string& model_type,
               int32_t pad_token) {
  config.erase("architectures");
  const std::string name_of_class = ClassifierClass(model_type);
  if (!name_of_class.empty()) config["architectures"] = Json::array({name_of_class});
  config["num_labels"] = shape.classes;
  config["problem_type"] = shape.regression ? "regression" : "single_label_classification";
  Json names = Json::object(), numbers = Json::object();
  for (int64_t c = 0; c < shape.classes; ++c) {
    const std::string number = std::to_string(c);
    const auto index = static_cast<size_t>(c);
    const std::string name =
        index < shape.label_names.size() ? shape.label_names[index] : "LABEL_" + number;
    names[number] = name;
    numbers[name] = c;
  }
  config["id2label"] = names;
  config["label2id"] = numbers;
  // Decoders find a text's last token by it.
  const bool decoder = nn::ParseTransformerConfig(config, model_type).causal;
  if (decoder && (!config.contains("pad_token_id") || config["pad_token_id"].is_null())) {
    config["pad_token_id"] = pad_token;
  }
}

bool BelongsToHead(const std::string& slot) {
  return slot.starts_with("classifier.") || slot.starts_with("pooler.");
}

// The stored weights without the heads of pre-training, under the names of the class with a
// classifier, and what of that head is missing from `fresh`.
nn::Parameters WithLabelHead(const arch::Architecture& architecture, const nn::Parameters& stored,
                             const nn::Parameters& fresh) {
  std::string prefix;
  for (const std::string& p : architecture.prefixes) {
    if (p.size() > prefix.size()) prefix = p;
  }
  nn::Parameters all;
  for (const nn::Parameter& p : stored.all()) {
    const at::Tensor wanted = fresh.Find(p.slot);
    const bool unwanted =
        p.slot.starts_with("head.") || p.slot.starts_with("mlm.") ||
        (BelongsToHead(p.slot) && !wanted.defined()) ||
        (wanted.defined() && wanted.sizes() != p.value.sizes() && BelongsToHead(p.slot));
    if (unwanted) continue;
    arch::Match match = *architecture.Find(p.name);
    match.prefix = prefix;
    all.Add({arch::Architecture::NameOf(match, match.layer, match.expert), p.slot, p.value});
  }
  for (const nn::Parameter& p : fresh.all()) {
    if (BelongsToHead(p.slot) && !all.Has(p.slot)) all.Add(p);
  }
  return all;
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
                                 ScalarTypeOf(precision))),
          {},
          options.path};
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
  if (kind == DataKind::kLabels) {
    SetLabels(config, shape, architecture.model_type, shape.pad_token);
  }
  nn::TransformerConfig parsed = nn::ParseTransformerConfig(config, architecture.model_type);
  nn::Parameters parameters = nn::InitialiseTransformer(architecture, config,
                                                        {.task = TaskOf(kind),
                                                         .classes = shape.classes,
                                                         .seed = seed,
                                                         .dtype = WeightType(precision)});
  return {std::move(config),
          nn::Network(
              nn::Transformer(std::move(parsed), std::move(parameters), ScalarTypeOf(precision))),
          {},
          options.path};
}

TrainModel LoadedModel(const fs::path& path, Precision precision) {
  Json config;
  nn::Network network =
      nn::LoadNetwork(path, WeightType(precision), ScalarTypeOf(precision), &config);
  const bool copies = network.transformer() != nullptr;
  return {std::move(config), std::move(network), copies ? ReadCopyMaps(path) : std::nullopt, path};
}

TrainModel LabelledModel(const fs::path& path, const DataShape& shape, Precision precision,
                         uint64_t seed) {
  if (nn::HoldsResNet(path)) {
    throw UsageError("a residual network reads no texts", path.string());
  }
  const nn::ModelDirectory directory = nn::ModelDirectory::Open(path);
  const arch::Architecture& architecture = directory.architecture();
  Json config = directory.json();
  SetLabels(config, shape, architecture.model_type, shape.pad_token);
  const nn::Parameters fresh = nn::InitialiseTransformer(architecture, config,
                                                         {.task = nn::Task::kClassify,
                                                          .classes = shape.classes,
                                                          .seed = seed,
                                                          .dtype = WeightType(precision)});
  if (!fresh.Has("classifier.weight")) {
    throw ImpossibleError("there is no classifier for texts in " + architecture.model_type,
                          path.string());
  }
  const nn::Parameters stored = directory.Load({.dtype = WeightType(precision), .layer = {}});
  return {
      std::move(config),
      nn::Network(nn::Transformer(directory.config(), WithLabelHead(architecture, stored, fresh),
                                  ScalarTypeOf(precision))),
      ReadCopyMaps(path), path};
}

// Slots of the layers that an expansion added begin with one of these.
std::set<std::string> NewLayers(const fs::path& model) {
  const auto account = model.empty() ? std::nullopt : ReadGrowthAccount(model);
  if (!account) {
    throw UsageError("train = new needs a model that was expanded", "model.train",
                     "there is no lemon_expand.json beside it");
  }
  std::set<std::string> prefixes;
  for (size_t i = 0; i < account->new_layers.size(); ++i) {
    if (account->new_layers[i]) prefixes.insert(account->layer_names[i] + ".");
  }
  return prefixes;
}

// Copies of each input of a weight whose columns an expansion split; 1 for any other tensor.
double SplitCopies(const TrainModel& model, const nn::Parameter& parameter) {
  if (!model.copies) return 1;
  const std::string& type = model.network.transformer()->config().model_type;
  const auto match = arch::FindArchitecture(type).Find(parameter.name);
  if (!match) return 1;
  const arch::TensorRule& rule = *match->rule;
  const bool transposed = rule.kind == arch::Kind::kLinearTransposed;
  if (rule.kind != arch::Kind::kLinear && !transposed) return 1;
  const std::string& in = rule.axes[transposed ? 0 : 1];
  const AxisMaps& maps = *model.copies;
  const AxisMap* map = in == "R" || in == "T" ? maps.residual.get()
                       : in == "H"            ? maps.query.get()
                       : in == "F"            ? maps.hidden.get()
                                              : nullptr;
  if (map == nullptr) return 1;
  return static_cast<double>(map->size() - map->pads()) / static_cast<double>(map->source_size());
}

// True for the units of a grown axis that are not the first copy of an old one.
at::Tensor NewUnits(const AxisMap& map) {
  std::vector<uint8_t> is_new(static_cast<size_t>(map.size()), 1);
  std::vector<bool> seen(static_cast<size_t>(map.source_size()));
  for (int64_t t = 0; t < map.size(); ++t) {
    if (map[t] == kPad || seen[static_cast<size_t>(map[t])]) continue;
    seen[static_cast<size_t>(map[t])] = true;
    is_new[static_cast<size_t>(t)] = 0;
  }
  return at::tensor(is_new, at::kByte).to(at::kBool);
}

bool InLayers(const std::string& slot, const std::set<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (slot.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

std::string ClassifierClass(const std::string& model_type) {
  static const std::map<std::string, std::string> kClasses = {
      {"bert", "Bert"},          {"roberta", "Roberta"}, {"distilbert", "DistilBert"},
      {"gpt2", "GPT2"},          {"llama", "Llama"},     {"mistral", "Mistral"},
      {"mixtral", "Mixtral"},    {"qwen2", "Qwen2"},     {"qwen3", "Qwen3"},
      {"qwen3_moe", "Qwen3Moe"}, {"gemma", "Gemma"},     {"gemma2", "Gemma2"},
      {"phi3", "Phi3"}};
  const auto it = kClasses.find(model_type);
  return it == kClasses.end() ? "" : it->second + "ForSequenceClassification";
}

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
                     : kind == DataKind::kLabels
                         ? LabelledModel(options.path, shape, precision, seed)
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

std::vector<nn::OptimizedTensor> TrainedTensors(TrainModel& model, Trained trained,
                                                const nn::OptimizerOptions& optimizer,
                                                SplitRate split_rate) {
  const bool all = trained == Trained::kAll;
  const std::set<std::string> layers = all ? std::set<std::string>() : NewLayers(model.directory);
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
    const double scale =
        split_rate == SplitRate::kInverse ? 1 / SplitCopies(model, parameter) : 1.0;
    tensors.push_back({parameter.name, parameter.value, decays, scale});
  }
  if (tensors.empty()) throw UsageError("the expansion added no layers", "model.train");
  return tensors;
}

nn::GrowthMask MaskOfGrowth(const TrainModel& model) {
  const auto account = model.directory.empty() ? std::nullopt : ReadGrowthAccount(model.directory);
  if (!account || !model.copies || account->method != "zero-pad") {
    throw UsageError("mask_ramp needs a model that was grown by --method zero-pad",
                     "model.mask_ramp",
                     "other methods divide the old weights over new units: nothing can be hidden");
  }
  const AxisMaps& maps = *model.copies;
  for (const AxisMap* map : {maps.residual.get(), maps.query.get(), maps.hidden.get()}) {
    const std::vector<int64_t>& copies = map->copies();
    if (std::any_of(copies.begin(), copies.end(), [](int64_t n) { return n > 1; })) {
      throw ImpossibleError("grouped query heads were copied, and copies cannot be hidden",
                            "model.mask_ramp", "keep the numbers of heads");
    }
  }
  return {NewUnits(*maps.residual), NewUnits(*maps.query), NewUnits(*maps.hidden),
          account->new_layers};
}

void SaveTrainModel(const TrainModel& model, const fs::path& directory) {
  nn::SaveModel(directory, model.config, model.network.parameters());
  if (model.directory.empty()) return;
  for (const char* name : kCompanions) {
    const fs::path source = model.directory / name;
    if (!fs::exists(source)) continue;
    std::error_code error;
    fs::copy_file(source, directory / name, fs::copy_options::overwrite_existing, error);
    if (error) throw ResourceError("cannot copy: " + error.message(), source.string());
  }
}

}  // namespace orchard::expand
