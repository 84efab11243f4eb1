// Reads architecture tables, and finds the compiled-in ones.
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "arch/architecture.h"
#include "arch/resnet.h"
#include "arch/tables.h"
#include "base/error.h"

namespace orchard::arch {
namespace {

template <class E>
E FromName(const Json& value, const std::map<std::string, E>& names, const std::string& what,
           const std::string& where) {
  const auto it = value.is_string() ? names.find(value.get<std::string>()) : names.end();
  if (it != names.end()) return it->second;
  std::string known;
  for (const auto& [name, unused] : names) known += (known.empty() ? "" : ", ") + name;
  throw DataError(what + " is " + value.dump(), where, "one of " + known);
}

const std::map<std::string, Kind> kKinds = {{"linear", Kind::kLinear},
                                            {"linear_transposed", Kind::kLinearTransposed},
                                            {"embedding", Kind::kEmbedding},
                                            {"conv", Kind::kConv},
                                            {"bias", Kind::kBias},
                                            {"norm_weight", Kind::kNormWeight},
                                            {"norm_bias", Kind::kNormBias},
                                            {"head_norm", Kind::kHeadNorm},
                                            {"wide_head_norm", Kind::kWideHeadNorm},
                                            {"layer_scale", Kind::kLayerScale},
                                            {"copy", Kind::kCopy},
                                            {"drop", Kind::kDrop}};

// How many axes a tensor of a kind has in its table row; embeddings may have leading ones.
void CheckAxes(const TensorRule& rule, const std::string& where) {
  const size_t count = rule.axes.size();
  bool fine = true;
  switch (rule.kind) {
    case Kind::kLinear:
    case Kind::kLinearTransposed:
      fine = count == 2;
      break;
    case Kind::kConv:
      fine = count == 4;
      break;
    case Kind::kEmbedding:
      fine = count >= 1;
      break;
    case Kind::kCopy:
    case Kind::kDrop:
      break;
    default:
      fine = count == 1;
  }
  if (!fine) throw DataError("wrong number of axes", where + ": tensor " + rule.name);
}

TensorRule ParseRule(const Json& row, const std::string& where) {
  TensorRule rule;
  rule.name = row.at("name").get<std::string>();
  rule.kind = FromName(row.at("kind"), kKinds, "kind", where + ": tensor " + rule.name);
  rule.axes = row.value("axes", std::vector<std::string>());
  rule.slot = row.value("slot", "");
  rule.optional = row.value("optional", false);
  CheckAxes(rule, where);
  return rule;
}

std::vector<Refusal> ParseRefusals(const Json& table, const char* key) {
  std::vector<Refusal> refusals;
  for (const Json& row : table.value(key, Json::array())) {
    Refusal refusal{.key = row.at("key").get<std::string>(),
                    .why = row.at("why").get<std::string>()};
    if (row.contains("unless")) refusal.unless_json = row["unless"].dump();
    refusal.unless_equals_key = row.value("unless_equals_key", "");
    refusals.push_back(refusal);
  }
  return refusals;
}

ConfigKeys ParseKeys(const Json& config) {
  ConfigKeys keys;
  keys.hidden = config.at("hidden").get<std::string>();
  keys.layers = config.at("layers").get<std::string>();
  keys.heads = config.at("heads").get<std::string>();
  keys.kv_heads = config.value("kv_heads", "");
  keys.head_dim = config.value("head_dim", "");
  keys.ffn = config.value("ffn", "");
  keys.ffn_ratio = config.value("ffn_ratio", "");
  keys.epsilon = config.value("epsilon", "");
  keys.tied = config.value("tied", "");
  keys.also_hidden = config.value("also_hidden", std::vector<std::string>());
  return keys;
}

Architecture FromJson(const Json& table, const std::string& where) {
  Architecture a;
  a.model_type = table.at("model_type").get<std::string>();
  a.summary = table.value("summary", "");
  a.block = FromName<Block>(table.at("block"),
                            {{"pre", Block::kPre},
                             {"post", Block::kPost},
                             {"post_residual", Block::kPostResidual},
                             {"sandwich", Block::kSandwich}},
                            "block", where);
  a.norm = FromName<Norm>(table.at("norm"), {{"layer", Norm::kLayer}, {"rms", Norm::kRms}}, "norm",
                          where);
  a.gain = FromName<Gain>(table.value("gain", Json("plain")),
                          {{"plain", Gain::kPlain}, {"one_plus", Gain::kOnePlus}}, "gain", where);
  a.image = table.value("domain", "text") == "image";
  a.embedding_scaled_by_sqrt_hidden = table.value("embedding_scale", "") == "sqrt_hidden";
  a.prefixes = table.value("prefixes", std::vector<std::string>{""});
  a.keys = ParseKeys(table.at("config"));
  a.defaults_json = table.value("defaults", Json::object()).dump();
  if (table.contains("fixed_epsilon")) a.fixed_epsilon = table["fixed_epsilon"].get<double>();
  a.layer_lists = table.value("layer_lists", std::vector<std::string>());
  a.layer_counts = table.value("layer_counts", std::vector<std::string>());
  a.refuse = ParseRefusals(table, "refuse");
  a.refuse_depth = ParseRefusals(table, "refuse_depth");
  const Json rules = table.value("rules", Json::object());
  a.default_layer_types = rules.value("default_layer_types", std::vector<std::string>());
  a.no_depth = rules.value("no_depth", "");
  a.head_dim_is_hidden_over_heads = rules.value("head_dim_is_hidden_over_heads", false);
  a.hidden_divisible_by_heads = rules.value("hidden_divisible_by_heads", false);
  a.head_norm_shares_epsilon = rules.value("head_norm_shares_epsilon", false);
  a.sizes_from_tensors = rules.value("sizes_from_tensors", false);
  a.ffn_default_ratio = rules.value("ffn_default_ratio", int64_t{0});
  const Json renames = rules.value("renames", Json::object());
  for (const auto& [from, to] : renames.items()) {
    a.renames.emplace_back(from, to.get<std::string>());
  }
  for (const Json& row : table.at("tensors")) a.rules.push_back(ParseRule(row, where));
  return a;
}

const std::map<std::string, Architecture, std::less<>>& Tables() {
  static const auto tables = [] {
    std::map<std::string, Architecture, std::less<>> all;
    for (const auto& [name, text] : EmbeddedTables()) {
      Architecture a = ParseArchitecture(std::string(text), std::string(name) + ".json");
      all.emplace(a.model_type, std::move(a));
    }
    return all;
  }();
  return tables;
}

}  // namespace

Architecture ParseArchitecture(const std::string& json_text, const std::string& where) {
  try {
    return FromJson(Json::parse(json_text), where);
  } catch (const nlohmann::json::exception& e) {
    throw DataError(std::string("not an architecture table: ") + e.what(), where,
                    "docs/formats.md describes the format");
  }
}

Architecture LoadArchitecture(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError("cannot open the architecture table", path.string());
  std::stringstream text;
  text << in.rdbuf();
  return ParseArchitecture(text.str(), path.string());
}

const Architecture& FindArchitecture(std::string_view model_type) {
  const auto it = Tables().find(model_type);
  if (it != Tables().end()) return it->second;
  if (model_type == kResNet) {
    throw ImpossibleError("a residual network stands where a Transformer is expected");
  }
  std::string known;
  for (const std::string& name : KnownArchitectures()) known += (known.empty() ? "" : ", ") + name;
  throw ImpossibleError("model_type '" + std::string(model_type) + "' is not known", "",
                        "known: " + known + ", resnet" + "; --arch-map FILE adds one");
}

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : Tables()) names.push_back(name);
  return names;
}

}  // namespace orchard::arch
