#include "nn/initialise.h"

#include <ATen/ops/full.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "nn/config_reader.h"
#include "nn/random_tensor.h"
#include "nn/transformer_config.h"

namespace orchard::nn {
namespace {

// Which optional tensors exist, and the sizes of the axes that are not the network's.
class Plan {
 public:
  Plan(const arch::Architecture& architecture, const arch::Json& config,
       const TransformerConfig& model, const InitialiseOptions& options)
      : architecture_(architecture),
        reader_(config, "config.json"),
        model_(model),
        options_(options) {
    CheckTask();
  }

  bool Wants(const arch::TensorRule& rule, int64_t layer, int64_t expert) const {
    if (rule.slot.empty() || rule.kind == arch::Kind::kDrop) return false;
    // The two norms of timm share a role: the second exists where patches are averaged.
    if (rule.name.starts_with("fc_norm.")) return model_.pooling == Pooling::kMean;
    if (rule.slot == "final_norm.weight" || rule.slot == "final_norm.bias") {
      return !rule.optional || model_.pooling != Pooling::kMean;
    }
    const std::string role = Role(rule.slot);
    if (model_.moe.experts > 0 && rule.name.find("{i}") != std::string::npos) {
      const bool sparse = model_.moe.layer_is_sparse[static_cast<size_t>(layer)];
      const bool dense_part =
          role.starts_with("gate.") || role.starts_with("up.") || role.starts_with("down.");
      if ((role.starts_with("router") || expert >= 0) && !sparse) return false;
      if (dense_part && sparse) return false;
    }
    return !rule.optional || WantsOptional(role);
  }

  std::vector<int64_t> Shape(const arch::TensorRule& rule) const {
    std::vector<int64_t> shape;
    for (const std::string& axis : rule.axes) {
      shape.push_back(axis == "k" && shape.size() == 3 ? model_.patch_width : Axis(axis, rule));
    }
    return shape;
  }

  // Names as the classes with a head write them.
  std::string Prefix() const {
    std::string longest;
    if (options_.task == Task::kFeatures) return longest;
    for (const std::string& prefix : architecture_.prefixes) {
      if (prefix.size() > longest.size()) longest = prefix;
    }
    return longest;
  }

 private:
  static std::string Role(const std::string& slot) {
    const std::string mark = "layer.{i}.";
    return slot.starts_with(mark) ? slot.substr(mark.size()) : slot;
  }

  void CheckTask() const {
    const bool decoder = model_.causal;
    const bool fits = options_.task == Task::kFeatures || options_.task == Task::kClassify ||
                      (options_.task == Task::kNextToken && decoder) ||
                      (options_.task == Task::kMaskedTokens && !decoder && !model_.is_image());
    if (!fits) throw UsageError("the task does not fit " + architecture_.model_type);
    if (options_.task == Task::kClassify && options_.classes < 1) {
      throw UsageError("a classifier needs at least one class");
    }
  }

  bool WantsOptional(const std::string& role) const {
    const bool bias = role.ends_with(".bias");
    if (bias && Projection(role)) return WantsProjectionBias(role);
    if (role == "head.weight") {
      const bool predicts =
          options_.task == Task::kNextToken || options_.task == Task::kMaskedTokens;
      return predicts && !model_.tied_head;
    }
    if (role == "head.bias" || role.starts_with("mlm.")) {
      return options_.task == Task::kMaskedTokens;
    }
    if (role.starts_with("pooler.")) {
      return options_.task == Task::kClassify && model_.pooling == Pooling::kPooler;
    }
    if (role.starts_with("classifier.")) return options_.task == Task::kClassify;
    if (role == "embed.type") return reader_.Int("type_vocab_size", 2) > 0;
    if (role == "embed.dist") return architecture_.model_type == "deit";
    return false;  // second heads, mask tokens, LayerScale of some ViTs
  }

  static bool Projection(const std::string& role) {
    static const std::set<std::string> kRoles = {"q",   "k",    "v",  "qkv",  "o",      "fc1",
                                                 "fc2", "gate", "up", "down", "gate_up"};
    return kRoles.contains(role.substr(0, role.find('.')));
  }

  bool WantsProjectionBias(const std::string& role) const {
    const bool mlp = role.starts_with("gate") || role.starts_with("up") ||
                     role.starts_with("down") || role.starts_with("fc");
    const bool out = role.starts_with("o.");
    if (model_.norm == NormKind::kRmsNorm) {
      if (mlp) return reader_.Bool("mlp_bias", false);
      return reader_.Bool("attention_bias", architecture_.model_type == "qwen2" && !out);
    }
    if (!reader_.Bool("enable_bias", true)) return false;
    if (mlp) return true;
    return reader_.Bool("attention_bias", true) && (out || reader_.Bool("qkv_bias", true));
  }

  // "H+G+G" is a sum, "H*3" a product.
  int64_t Axis(const std::string& axis, const arch::TensorRule& rule) const {
    if (const size_t plus = axis.find('+'); plus != std::string::npos) {
      return Axis(axis.substr(0, plus), rule) + Axis(axis.substr(plus + 1), rule);
    }
    if (const size_t star = axis.find('*'); star != std::string::npos) {
      return Axis(axis.substr(0, star), rule) * std::stoll(axis.substr(star + 1));
    }
    if (axis == "R" || axis == "T") return model_.hidden;  // T: the outputs of square heads
    if (axis == "H") return model_.heads * model_.head_dim;
    if (axis == "G") return model_.kv_heads * model_.head_dim;
    if (axis == "F") {
      const bool expert = rule.name.find("{e}") != std::string::npos;
      return expert ? reader_.Int("moe_intermediate_size", model_.ffn) : model_.ffn;
    }
    if (axis == "d") return model_.head_dim;
    if (axis == "E") return model_.moe.experts;
    if (axis == "V") return model_.vocab;
    if (axis == "C") return model_.channels;
    if (axis == "k") return model_.patch_height;
    if (axis == "1") return 1;
    if (axis == "P") return PositionRows();
    if (axis == "N") {
      if (rule.slot == "embed.type") return reader_.Int("type_vocab_size", 2);
      if (rule.slot == "embed.position") return PositionRows();
      return options_.classes;
    }
    throw ImpossibleError("no size for axis " + axis, rule.name);
  }

  int64_t PositionRows() const {
    switch (model_.position) {
      case PositionKind::kMasked:
        return model_.positions + 2;
      case PositionKind::kPadding:
        return model_.positions + model_.pad_token + 1;
      case PositionKind::kImage:
        return model_.positions + (architecture_.model_type == "deit" ? 2 : 1);
      case PositionKind::kNone:
      case PositionKind::kIndex:
        break;
    }
    return model_.positions;
  }

  const arch::Architecture& architecture_;
  ConfigReader reader_;
  const TransformerConfig& model_;
  const InitialiseOptions& options_;
};

at::Tensor InitialValue(const arch::TensorRule& rule, const std::string& name,
                        const std::vector<int64_t>& shape, const TransformerConfig& model,
                        const arch::Json& config, const InitialiseOptions& options) {
  const auto constant = [&](double value) {
    return at::full(shape, value, at::TensorOptions().dtype(options.dtype));
  };
  switch (rule.kind) {
    case arch::Kind::kNormWeight:
    case arch::Kind::kHeadNorm:
    case arch::Kind::kWideHeadNorm:
      return constant(model.norm_gain == Gain::kOnePlusWeight ? 0 : 1);
    case arch::Kind::kNormBias:
    case arch::Kind::kBias:
      return constant(0);
    case arch::Kind::kLayerScale:
      return constant(ConfigReader(config, "config.json").Real("layerscale_value", 1));
    default:
      break;
  }
  if (shape.size() == 1) return constant(0);  // biases of heads
  double deviation = model.initializer_range;
  const bool residual = rule.slot.ends_with("}.o.weight") || rule.slot.ends_with("}.fc2.weight");
  if (model.conv1d && residual) deviation /= std::sqrt(2.0 * static_cast<double>(model.layers));
  return RandomNormal(name, shape, deviation, options.seed, options.dtype);
}

}  // namespace

Parameters InitialiseTransformer(const arch::Architecture& architecture, const arch::Json& config,
                                 const InitialiseOptions& options) {
  const TransformerConfig model = ParseTransformerConfig(config, architecture.model_type);
  const Plan plan(architecture, config, model, options);
  Parameters parameters;
  for (const arch::TensorRule& rule : architecture.rules) {
    const bool per_layer = rule.name.find("{i}") != std::string::npos;
    const bool per_expert = rule.name.find("{e}") != std::string::npos;
    for (int64_t layer = 0; layer < (per_layer ? model.layers : 1); ++layer) {
      for (int64_t expert = 0; expert < (per_expert ? model.moe.experts : 1); ++expert) {
        arch::Match match{&rule, plan.Prefix(), per_layer ? layer : -1, per_expert ? expert : -1};
        if (!plan.Wants(rule, match.layer, match.expert)) continue;
        // An architecture lists alternatives for one role (classifiers of several classes): the
        // first wins.
        if (parameters.Has(match.Slot())) continue;
        const std::string name = arch::Architecture::NameOf(match, match.layer, match.expert);
        parameters.Add({name, match.Slot(),
                        InitialValue(rule, name, plan.Shape(rule), model, config, options)});
      }
    }
  }
  return parameters;
}

}  // namespace orchard::nn
