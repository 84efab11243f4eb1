#include "expand/provenance.h"

#include <nlohmann/json.hpp>

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

void Parse(const json& file, const arch::Architecture& a, Provenance& p) {
  p.known = file.at("lossless").get<bool>();
  p.exactness = file.at("exactness").get<std::string>();
  p.epsilon = file.at("epsilon").at("before").get<double>();
  p.residual = ReadMap(file.at("maps").at("residual"));
  p.mean_padding = a.norm == arch::Norm::kLayer && a.block != arch::Block::kPostResidual;
  for (const json& layer : file.at("layers")) {
    p.layers.push_back({layer.at("source").get<int64_t>(), layer.at("new").get<bool>()});
  }
}

}  // namespace

Provenance ReadProvenance(const fs::path& model, const arch::Architecture& architecture,
                          int64_t source_layers, int64_t target_layers, int64_t source_hidden,
                          int64_t target_hidden) {
  Provenance p;
  p.post_norm = architecture.block == arch::Block::kPost;
  const fs::path path =
      (fs::is_directory(model) ? model : model.parent_path()) / "lemon_expand.json";
  if (!fs::exists(path)) {
    for (int64_t i = 0; i < target_layers; ++i)
      p.layers.push_back({std::min(i, source_layers - 1), i >= source_layers});
    return p;
  }
  try {
    Parse(io::ReadJsonFile(path), architecture, p);
  } catch (const json::exception& e) {
    throw DataError(std::string("not an account of an expansion: ") + e.what(), path.string());
  } catch (const std::out_of_range&) {
    throw DataError("a copy map points outside its axis", path.string());
  }
  if (static_cast<int64_t>(p.layers.size()) != target_layers ||
      p.residual.size() != target_hidden || p.residual.source_size() != source_hidden) {
    throw DataError("describes another expansion than that of the two models given", path.string());
  }
  return p;
}

}  // namespace orchard::expand
