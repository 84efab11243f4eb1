#include "expand/provenance.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "arch/resnet.h"
#include "base/error.h"
#include "io/json_file.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

AxisMap ReadMap(const json& map) {
  std::vector<int64_t> entries(map.at("size").get<int64_t>(), kPad);
  for (const json& run : map.at("copies")) {
    const int64_t source = run.at("source").get<int64_t>(),
                  length = run.at("length").get<int64_t>();
    for (const json& target : run.at("targets")) {
      for (int64_t l = 0; l < length; ++l) entries.at(target.get<int64_t>() + l) = source + l;
    }
  }
  return AxisMap(map.at("source_size").get<int64_t>(), std::move(entries));
}

std::vector<LayerPlan> ReadLayers(const json& file) {
  std::vector<LayerPlan> layers;
  for (const json& layer : file.at("layers")) {
    layers.push_back({layer.at("source").get<int64_t>(), layer.at("new").get<bool>()});
  }
  return layers;
}

// Calls parse(account) with what stands beside the model. Returns false when there is nothing.
template <class Function>
bool WithAccount(const fs::path& model, Function&& parse) {
  const fs::path path =
      (fs::is_directory(model) ? model : model.parent_path()) / "lemon_expand.json";
  if (!fs::exists(path)) return false;
  try {
    if (parse(io::ReadJsonFile(path))) return true;
  } catch (const json::exception& e) {
    throw DataError(std::string("not an account of an expansion: ") + e.what(), path.string());
  } catch (const std::out_of_range&) {
    throw DataError("a copy map points outside its axis", path.string());
  }
  throw DataError("describes another expansion than that of the two models given", path.string());
}

// Whether the target's blocks hold every block of the source once, stage by stage.
bool CoverSource(const std::vector<LayerPlan>& layers, const arch::ResNetShape& source,
                 const arch::ResNetShape& target) {
  if (static_cast<int64_t>(layers.size()) != target.Depth()) return false;
  size_t at = 0;
  for (int stage = 0; stage < arch::kResNetStages; ++stage) {
    int64_t old = 0;
    for (int64_t b = 0; b < target.blocks[stage]; ++b) old += layers[at++].neutral ? 0 : 1;
    if (old != source.blocks[stage]) return false;
  }
  return true;
}

}  // namespace

Provenance ReadProvenance(const fs::path& model, const arch::Architecture& architecture,
                          int64_t source_layers, int64_t target_layers, int64_t source_hidden,
                          int64_t target_hidden) {
  Provenance p;
  p.post_norm = architecture.block == arch::Block::kPost;
  const bool found = WithAccount(model, [&](const json& file) {
    p.known = file.at("lossless").get<bool>();
    p.exactness = file.at("exactness").get<std::string>();
    p.epsilon = file.at("epsilon").at("before").get<double>();
    p.residual = ReadMap(file.at("maps").at("residual"));
    p.mean_padding =
        architecture.norm == arch::Norm::kLayer && architecture.block != arch::Block::kPostResidual;
    p.layers = ReadLayers(file);
    return static_cast<int64_t>(p.layers.size()) == target_layers &&
           p.residual.size() == target_hidden && p.residual.source_size() == source_hidden;
  });
  for (int64_t i = 0; i < target_layers && !found; ++i)
    p.layers.push_back({std::min(i, source_layers - 1), i >= source_layers});
  return p;
}

ResNetProvenance ReadResNetProvenance(const fs::path& model, const arch::ResNetShape& source,
                                      const arch::ResNetShape& target) {
  ResNetProvenance p;
  WithAccount(model, [&](const json& file) {
    p.known = file.at("lossless").get<bool>();
    p.exactness = file.at("exactness").get<std::string>();
    p.epsilon = file.at("epsilon").at("before").get<double>();
    for (const auto& [axis, map] : file.at("maps").items()) p.maps[axis] = ReadMap(map);
    p.layers = ReadLayers(file);
    for (const char* axis : {"S", "C1", "C2", "C3", "C4"}) {
      const AxisMap& map = p.maps.at(axis);
      if (map.source_size() != arch::ResNetExtent(source, axis, 0)) return false;
      if (map.size() != arch::ResNetExtent(target, axis, 0)) return false;
    }
    return !p.known || CoverSource(p.layers, source, target);
  });
  return p;
}

std::optional<GrowthAccount> ReadGrowthAccount(const fs::path& model) {
  GrowthAccount account;
  const bool found = WithAccount(model, [&](const json& file) {
    account.method = file.at("method").get<std::string>();
    const json& layers = file.at("layers");
    for (size_t i = 0; i < layers.size(); ++i) {
      account.new_layers.push_back(layers[i].at("new").get<bool>());
      account.layer_names.push_back(layers[i].value("name", "layer." + std::to_string(i)));
    }
    return true;
  });
  return found ? std::optional(std::move(account)) : std::nullopt;
}

std::optional<AxisMaps> ReadCopyMaps(const fs::path& model) {
  AxisMaps all;
  const bool found = WithAccount(model, [&](const json& file) {
    const json& maps = file.at("maps");
    const auto read = [&](const char* axis) {
      return std::make_shared<const AxisMap>(ReadMap(maps.at(axis)));
    };
    const int64_t width = file.at("target").at("head_dim").get<int64_t>();
    const auto rows = [&](const AxisMap& heads) {
      return std::make_shared<const AxisMap>(AxisMap::Blocks(heads, width));
    };
    all.residual = read("residual");
    all.query_heads = read("query_heads");
    all.kv_heads = read("kv_heads");
    all.hidden = read("hidden");
    all.query = rows(*all.query_heads);
    all.key_value = rows(*all.kv_heads);
    return true;
  });
  return found ? std::optional(std::move(all)) : std::nullopt;
}

}  // namespace orchard::expand
