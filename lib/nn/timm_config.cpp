#include "nn/timm_config.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace orchard::nn {
namespace {

// Heads have 64 features in timm's tiny, small, base and large models; others must say.
int64_t Heads(const arch::Json& config, int64_t hidden) {
  for (const char* scope : {"", "model_args"}) {
    const arch::Json* object = &config;
    if (*scope != '\0') {
      const auto it = config.find(scope);
      if (it == config.end() || !it->is_object()) continue;
      object = &*it;
    }
    const auto it = object->find("num_heads");
    if (it != object->end() && it->is_number_integer()) return it->get<int64_t>();
  }
  for (const int64_t known : {192, 384, 768, 1024}) {
    if (hidden == known) return hidden / 64;
  }
  throw ImpossibleError("the number of heads is not in the checkpoint", "config.json",
                        "add num_heads to config.json");
}

}  // namespace

bool LooksLikeTimm(const io::Checkpoint& checkpoint) {
  return checkpoint.Find("cls_token") != nullptr &&
         checkpoint.Find("blocks.0.attn.qkv.weight") != nullptr;
}

arch::Json CompleteTimmConfig(const arch::Json& config, const arch::Architecture& architecture,
                              const io::Checkpoint& checkpoint) {
  std::map<std::string, const io::TensorInfo*> by_slot;
  int64_t layers = 0;
  bool pooled_norm = false;
  for (const io::TensorInfo& tensor : checkpoint.tensors()) {
    const auto match = architecture.Find(tensor.name);
    if (!match) continue;
    by_slot[match->Slot()] = &tensor;
    layers = std::max(layers, match->layer + 1);
    pooled_norm = pooled_norm || tensor.name.starts_with("fc_norm.");
  }
  const auto shape = [&](const char* slot, size_t dims) -> const std::vector<int64_t>& {
    const auto it = by_slot.find(slot);
    if (it == by_slot.end()) throw DataError("no tensor for " + std::string(slot), "checkpoint");
    if (it->second->shape.size() != dims) {
      throw DataError("wrong number of axes", checkpoint.Where(*it->second));
    }
    return it->second->shape;
  };
  const auto& patch = shape("embed.patch.weight", 4);
  const int64_t tokens = by_slot.contains("embed.dist") ? 2 : 1;
  const int64_t rows = shape("embed.position", 3)[1];
  // Positions for the patches alone form a square; otherwise those of the class tokens come first.
  const auto side = [](int64_t n) { return std::llround(std::sqrt(static_cast<double>(n))); };
  const int64_t patches = side(rows) * side(rows) == rows ? rows : rows - tokens;
  arch::Json out = config.is_object() ? config : arch::Json::object();
  const auto pretrained = out.find("pretrained_cfg");
  if (!out.contains("image_size") && pretrained != out.end() && pretrained->is_object()) {
    const arch::Json size = pretrained->value("input_size", arch::Json());  // [C, H, W]
    if (size.is_array() && size.size() == 3) out["image_size"] = {size[1], size[2]};
  }
  if (!out.contains("image_size")) {
    if (side(patches) * side(patches) != patches) {
      throw ImpossibleError("the image is not square", "config.json", "add image_size");
    }
    out["image_size"] = {side(patches) * patch[2], side(patches) * patch[3]};
  }
  out["hidden_size"] = patch[0];
  out["num_hidden_layers"] = layers;
  out["num_attention_heads"] = Heads(out, patch[0]);
  out["intermediate_size"] = shape("layer.0.fc1.weight", 2)[0];
  out["patch_size"] = {patch[2], patch[3]};
  out["num_channels"] = patch[1];
  if (!out.contains("global_pool")) out["global_pool"] = pooled_norm ? "avg" : "token";
  return out;
}

}  // namespace orchard::nn
