// Model architectures as data: for each `model_type` a table that says, tensor by tensor, which
// axes of the network a stored tensor has and which role it plays. The expander reads the axes, the
// forward pass reads the slots; neither has code per model.
//
// The tables are the JSON files in lib/arch/architectures/, compiled in. `LoadArchitecture` reads
// one from a user's file. Their format is described in docs/formats.md, "Architecture tables".
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/resnet_shape.h"

namespace orchard::arch {

using Json = nlohmann::ordered_json;

// Where the norms of a block stand (LEMON, sec. 4; docs/methods/lemon-expand.md).
enum class Block {
  kPre,           // x + f(norm(x))
  kPost,          // norm(x + f(x)): the original Transformer, BERT
  kPostResidual,  // x + norm(f(x)): OLMo 2
  kSandwich       // x + norm(f(norm(x))): Gemma 2
};

enum class Norm {
  kLayer,
  kRms,
  kBatch  // residual networks of convolutions: arch/resnet.h computes their table
};

// How a norm's stored weight w enters: gain w, or 1 + w (Gemma).
enum class Gain { kPlain, kOnePlus };

// What a stored tensor is. [..] gives the order of the stored axes.
enum class Kind {
  kLinear,            // [out, in]
  kLinearTransposed,  // [in, out]: Conv1D of GPT-2
  kEmbedding,         // [..., R]: a table whose last axis is the residual stream
  kConv,              // [out, in, kh, kw]
  kBias,              // [out]
  kNormWeight,        // [R]
  kNormBias,          // [R]
  kHeadNorm,          // [head_dim]: shared by all heads, never grown
  kWideHeadNorm,      // [H] or [G]: across all heads
  kLayerScale,        // [R]: multiplies a sub-block's output
  kStatistic,         // [out]: running mean or variance of a batch norm; measured, not trained
  kCopy,              // not grown
  kDrop               // a buffer that the model rebuilds
};

// One row of a table. `name` may hold {i} (layer) and {e} (expert). Axes: R residual, T as wide as
// it but never padded (poolers, transforms), H query heads x head_dim, G key-value heads x
// head_dim, F hidden units of the MLP, E experts, d head_dim; V, P, N, C, k and 1 are never grown.
// "H+G+G" is a concatenation, "H*3" interleaves three parts per head (GPT-NeoX).
struct TensorRule {
  std::string name;
  Kind kind = Kind::kCopy;
  std::vector<std::string> axes;
  std::string slot;  // canonical role, e.g. layer.{i}.q.weight
  bool optional = false;
};

// A name that matched a rule.
struct Match {
  const TensorRule* rule = nullptr;
  std::string prefix;  // which of the architecture's prefixes the name carries
  int64_t layer = -1;
  int64_t expert = -1;

  std::string Slot() const;  // the rule's slot with its numbers filled in
};

// A configuration value with which expansion would be wrong.
struct Refusal {
  std::string key;
  std::string unless_json;  // the value that is fine, as JSON text; empty: see unless_equals_key
  std::string unless_equals_key;
  std::string why;
};

// Names of the configuration keys that hold the sizes; empty where the family has none.
struct ConfigKeys {
  std::string hidden, layers, heads, kv_heads, head_dim, ffn, ffn_ratio, epsilon, tied;
  std::vector<std::string> also_hidden;  // further keys equal to the hidden size
};

struct Architecture {
  std::string model_type, summary;
  Block block = Block::kPre;
  Norm norm = Norm::kLayer;
  Gain gain = Gain::kPlain;
  bool image = false;  // images in; else tokens
  bool embedding_scaled_by_sqrt_hidden = false;
  std::vector<std::string> prefixes = {""};
  ConfigKeys keys;
  std::string defaults_json = "{}";              // what the model class assumes for absent keys
  std::optional<double> fixed_epsilon;           // in code, not in the configuration
  std::vector<std::string> layer_lists;          // configuration lists with one entry per layer
  std::vector<std::string> layer_counts;         // configuration numbers that count layers
  std::vector<std::string> default_layer_types;  // repeated over the layers when the list is absent
  std::vector<Refusal> refuse, refuse_depth;
  std::string no_depth;  // why layers cannot be added; empty: they can
  bool head_dim_is_hidden_over_heads = false;
  bool hidden_divisible_by_heads = false;  // the reference loader insists, whatever head_dim says
  bool head_norm_shares_epsilon = false;   // q_norm and k_norm use the same epsilon key
  bool sizes_from_tensors = false;         // there is no configuration to trust
  int64_t ffn_default_ratio = 0;           // hidden units when the key is null: ratio x hidden
  std::vector<std::pair<std::string, std::string>> renames;  // old name suffixes: gamma -> weight
  std::vector<TensorRule> rules;

  // Convolutions and batch norms, whose sizes are Sizes::resnet; else a Transformer.
  bool is_resnet() const { return norm == Norm::kBatch; }

  // The rule for a stored name, old spellings included; nullopt for a name the table does not know.
  std::optional<Match> Find(std::string_view tensor_name) const;
  // The stored name of a rule for a layer and an expert.
  static std::string NameOf(const Match& match, int64_t layer, int64_t expert);
};

// The sizes that expansion changes.
struct Sizes {
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
  // Of residual networks, in place of the above; `layers` counts the blocks of all stages.
  std::optional<ResNetShape> resnet = std::nullopt;
  bool operator==(const Sizes&) const = default;
};

// Sizes from config.json. Throws DataError naming the key that is missing or not a positive whole
// number.
Sizes ReadSizes(const Architecture& architecture, const Json& config, const std::string& where);

// A value with the class's default behind it; null when neither is there.
Json ConfigValue(const Architecture& architecture, const Json& config, const std::string& key);

// The epsilon of the norms.
double Epsilon(const Architecture& architecture, const Json& config);

// Throws ImpossibleError when the configuration asks for something the table refuses.
void CheckRefusals(const Architecture& architecture, std::span<const Refusal> refusals,
                   const Json& config, const std::string& where);

// The compiled-in table of a model type. Throws ImpossibleError with the known names when there is
// none. ResNets have no fixed table: arch/resnet.h.
const Architecture& FindArchitecture(std::string_view model_type);
std::vector<std::string> KnownArchitectures();
// A user's table. Throws DataError (file, JSON path).
Architecture LoadArchitecture(const std::filesystem::path& path);
Architecture ParseArchitecture(const std::string& json_text, const std::string& where);

}  // namespace orchard::arch
