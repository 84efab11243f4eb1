#include "expand/config_edit.h"

#include <nlohmann/json.hpp>
#include <string>

#include "arch/resnet.h"
#include "base/error.h"

namespace orchard::expand {
namespace {

void SetSizes(const arch::Architecture& a, const Plan& plan, Json& config) {
  const arch::ConfigKeys& keys = a.keys;
  const Sizes& target = plan.target;
  config[keys.hidden] = target.hidden;
  for (const std::string& key : keys.also_hidden) {
    if (config.contains(key) && !config[key].is_null()) config[key] = target.hidden;
  }
  config[keys.layers] = target.layers;
  config[keys.heads] = target.heads;
  if (!keys.kv_heads.empty()) config[keys.kv_heads] = target.kv_heads;
  if (!keys.head_dim.empty() && !a.head_dim_is_hidden_over_heads)
    config[keys.head_dim] = target.head_dim;
  if (!keys.ffn_ratio.empty()) {
    const bool whole = target.ffn % target.hidden == 0;
    config[keys.ffn_ratio] =
        whole ? Json(target.ffn / target.hidden)
              : Json(static_cast<double>(target.ffn) / static_cast<double>(target.hidden));
  } else {
    config[keys.ffn] = target.ffn;
  }
}

// Lists with an entry per layer follow the layers that they describe.
void SetLayerLists(const arch::Architecture& a, const Plan& plan, Json& config) {
  for (const std::string& key : a.layer_lists) {
    Json list = config.contains(key) ? config[key] : Json();
    if (list.is_null() && !a.default_layer_types.empty() && key == "layer_types") {
      list = Json::array();
      for (int64_t i = 0; i < plan.source.layers; ++i) {
        list.push_back(a.default_layer_types[i % a.default_layer_types.size()]);
      }
    }
    if (list.is_null()) continue;
    if (!list.is_array() || static_cast<int64_t>(list.size()) != plan.source.layers) {
      throw DataError(
          "'" + key + "' is not a list of " + std::to_string(plan.source.layers) + " entries",
          "config.json");
    }
    Json grown = Json::array();
    for (const LayerPlan& layer : plan.layers) grown.push_back(list[layer.source]);
    config[key] = grown;
  }
}

// qwen2's max_window_layers: layers from this one on use the sliding window. A grown model says so
// layer by layer.
void SetLayerCounts(const arch::Architecture& a, const Plan& plan, Json& config) {
  for (const std::string& key : a.layer_counts) {
    if (!config.contains(key) || !config[key].is_number_integer()) continue;
    const int64_t count = config[key].get<int64_t>();
    const bool used = config.value("use_sliding_window", false) && count < plan.source.layers;
    if (used && !config.contains("layer_types")) {
      Json types = Json::array();
      for (const LayerPlan& layer : plan.layers) {
        types.push_back(layer.source >= count ? "sliding_attention" : "full_attention");
      }
      config["layer_types"] = types;
    }
    config[key] = used ? count : std::max(count, plan.target.layers);
  }
}

const char* TorchName(StoredType type) {
  switch (type) {
    case StoredType::kF32:
      return "float32";
    case StoredType::kBf16:
      return "bfloat16";
    case StoredType::kF16:
      return "float16";
    case StoredType::kF64:
      return "float64";
    default:
      return nullptr;
  }
}

void SetStoredType(const MethodOptions& options, Json& config) {
  if (const char* name = TorchName(options.dtype)) {
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = name;
  }
}

}  // namespace

Json EditConfig(const SourceModel& source, const Plan& plan, const MethodOptions& options,
                bool untied) {
  const arch::Architecture& a = source.architecture;
  Json config = source.config;
  if (a.is_resnet()) {
    config = arch::ResNetConfigJson(*plan.target.resnet, config);
    SetStoredType(options, config);
    return config;
  }
  const bool ffn_was_default = !a.keys.ffn.empty() && a.ffn_default_ratio > 0 &&
                               (!config.contains(a.keys.ffn) || config[a.keys.ffn].is_null());
  SetSizes(a, plan, config);
  if (ffn_was_default && plan.target.ffn == a.ffn_default_ratio * plan.target.hidden)
    config[a.keys.ffn] = nullptr;
  SetLayerLists(a, plan, config);
  SetLayerCounts(a, plan, config);
  if (!a.fixed_epsilon && plan.epsilon_after != plan.epsilon_before)
    config[a.keys.epsilon] = plan.epsilon_after;
  if (untied) config[a.keys.tied] = false;
  SetStoredType(options, config);
  return config;
}

}  // namespace orchard::expand
