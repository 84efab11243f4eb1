#include "expand/synthetic_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
#include "base/hash.h"
#include "base/philox.h"
#include "io/safetensors.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

nlohmann::json Config(const SyntheticSizes& s, int64_t layers) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", s.vocabulary},
          {"hidden_size", s.hidden},
          {"intermediate_size", s.ffn},
          {"num_hidden_layers", layers},
          {"num_attention_heads", s.heads},
          {"num_key_value_heads", s.kv_heads},
          {"head_dim", s.hidden / s.heads},
          {"max_position_embeddings", 2048},
          {"rms_norm_eps", 1e-5},
          {"tie_word_embeddings", false},
          {"torch_dtype", "bfloat16"}};
}

std::vector<io::TensorInfo> Tensors(const SyntheticSizes& s, int64_t layers) {
  std::vector<io::TensorInfo> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors.push_back({name, io::DType::kBF16, std::move(shape)});
  };
  add("model.embed_tokens.weight", {s.vocabulary, s.hidden});
  add("lm_head.weight", {s.vocabulary, s.hidden});
  add("model.norm.weight", {s.hidden});
  const int64_t key_value = s.kv_heads * (s.hidden / s.heads);
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    add(layer + "self_attn.q_proj.weight", {s.hidden, s.hidden});
    add(layer + "self_attn.k_proj.weight", {key_value, s.hidden});
    add(layer + "self_attn.v_proj.weight", {key_value, s.hidden});
    add(layer + "self_attn.o_proj.weight", {s.hidden, s.hidden});
    add(layer + "mlp.gate_proj.weight", {s.ffn, s.hidden});
    add(layer + "mlp.up_proj.weight", {s.ffn, s.hidden});
    add(layer + "mlp.down_proj.weight", {s.hidden, s.ffn});
    add(layer + "input_layernorm.weight", {s.hidden});
    add(layer + "post_attention_layernorm.weight", {s.hidden});
  }
  return tensors;
}

int64_t Bytes(const std::vector<io::TensorInfo>& tensors) {
  int64_t bytes = 0;
  for (const io::TensorInfo& tensor : tensors) bytes += 2 * tensor.elements();
  return bytes;
}

// Noise to fill tensors from: every tensor begins at another place of it.
std::vector<BFloat16> Noise(uint64_t seed) {
  std::vector<BFloat16> noise(1 << 20);
  const Philox2 key = PhiloxKey(seed, Hash64("out of core"));
  for (size_t i = 0; i < noise.size(); ++i) {
    noise[i] =
        Narrow<BFloat16>(static_cast<float>(0.02 * kNoiseUnit * NoiseInteger(PhiloxAt(key, i))));
  }
  return noise;
}

}  // namespace

int64_t WriteSyntheticModel(const fs::path& directory, const SyntheticSizes& sizes, int64_t size,
                            uint64_t seed) {
  int64_t layers = 1;
  while (Bytes(Tensors(sizes, layers)) < size) ++layers;
  fs::create_directories(directory);
  std::ofstream(directory / "config.json") << Config(sizes, layers).dump(2);
  io::SafetensorsWriter writer(directory / "model.safetensors",
                               io::SafetensorsLayout(Tensors(sizes, layers)));
  const std::vector<BFloat16> noise = Noise(seed);
  for (const io::TensorInfo& tensor : writer.layout().tensors()) {
    int64_t at = static_cast<int64_t>(Hash64(tensor.name) % noise.size());
    for (int64_t done = 0; done < tensor.elements();) {
      const int64_t part = std::min(tensor.elements() - done, std::ssize(noise) - at);
      writer.Write(tensor, static_cast<uint64_t>(2 * done),
                   std::as_bytes(std::span(noise).subspan(at, part)));
      done += part;
      at = 0;
    }
  }
  writer.Finish(false);
  return Bytes(Tensors(sizes, layers));
}

}  // namespace orchard::expand
