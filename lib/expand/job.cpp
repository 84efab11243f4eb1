#include "expand/job.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "arch/resnet.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/version.h"
#include "io/json_file.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

std::string Padded5(size_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

// A copy map as runs [source, length, target, ...]: short for the maps people use.
Json MapJson(const AxisMap& map) {
  Json copies = Json::array(), padding = Json::array();
  for (const CopyRun& run : map.copy_runs()) {
    copies.push_back({{"source", run.source}, {"length", run.length}, {"targets", run.targets}});
  }
  for (const PadRun& run : map.pad_runs())
    padding.push_back({{"target", run.target}, {"length", run.length}});
  return {{"source_size", map.source_size()},
          {"size", map.size()},
          {"copies", copies},
          {"padding", padding}};
}

Json MapsJson(const Plan& plan) {
  Json maps = Json::object();
  for (const auto& [axis, map] : plan.stage_maps) maps[axis] = MapJson(*map);
  if (plan.target.resnet) return maps;
  return {{"residual", MapJson(*plan.maps.residual)},
          {"query_heads", MapJson(*plan.maps.query_heads)},
          {"kv_heads", MapJson(*plan.maps.kv_heads)},
          {"hidden", MapJson(*plan.maps.hidden)}};
}

// The blocks of a ResNet have names besides: "layer3.7".
Json LayersJson(const Plan& plan) {
  Json list = Json::array();
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    Json layer = {{"source", plan.layers[i].source}, {"new", plan.layers[i].neutral}};
    if (plan.target.resnet) {
      const auto [stage, block] = arch::ResNetBlockAt(*plan.target.resnet, static_cast<int64_t>(i));
      std::string prefix = arch::ResNetBlockPrefix(stage, block);
      prefix.pop_back();
      layer["name"] = prefix;
    }
    list.push_back(layer);
  }
  return list;
}

// What lemon_expand.json says of the whole model; the tensors are added at the end.
Json Provenance(const SourceModel& source, const Plan& plan, const MethodOptions& method,
                const ExpandOptions& options) {
  const Versions& versions = BuildVersions();
  return {{"format", "lemon_expand v1"},
          {"orchard", versions.orchard},
          {"revision", versions.revision},
          {"method", Name(plan.method)},
          {"seed", options.seed},
          {"noise_scale", method.noise_scale},
          {"pad_scale", method.pad_scale},
          {"model_type", source.architecture.model_type},
          {"source", ToJson(plan.source)},
          {"target", ToJson(plan.target)},
          {"lossless", plan.lossless},
          {"exactness", Name(plan.exactness)},
          {"epsilon", {{"before", plan.epsilon_before}, {"after", plan.epsilon_after}}},
          {"maps", MapsJson(plan)},
          {"layers", LayersJson(plan)},
          {"warnings", plan.warnings}};
}

bool IsWeightsOrConfig(const fs::path& file) {
  const std::string name = file.filename().string(), extension = file.extension().string();
  return extension == ".safetensors" || extension == ".bin" || extension == ".pth" ||
         extension == ".pt" || extension == ".onnx" || extension == ".h5" ||
         extension == ".msgpack" || extension == ".gguf" || name == "config.json" ||
         name.ends_with(".index.json") || name == "lemon_expand.json" || name == "report.jsonl";
}

// The pooling settings of sentence-transformers hold the width once more.
bool EditPooling(const fs::path& from, const fs::path& to, const Sizes& target) {
  if (from.filename() != "config.json" ||
      from.parent_path().filename().string().find("Pooling") == std::string::npos) {
    return false;
  }
  nlohmann::json config = io::ReadJsonFile(from);
  if (!config.is_object() || !config.contains("word_embedding_dimension")) return false;
  config["word_embedding_dimension"] = target.hidden;
  WriteFileAtomically(to, config.dump(2) + "\n");
  return true;
}

}  // namespace

std::vector<Shard> DivideIntoShards(const Plan& plan, int64_t shard_size) {
  std::vector<Shard> shards(1);
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorOp& op = plan.tensors[t];
    const int64_t bytes = op.elements() * io::ByteSize(op.dtype);
    if (!shards.back().tensors.empty() && shards.back().bytes + bytes > shard_size)
      shards.emplace_back();
    shards.back().tensors.push_back(t);
    shards.back().bytes += bytes;
  }
  for (size_t k = 0; k < shards.size(); ++k) {
    shards[k].file = shards.size() == 1 ? "model.safetensors"
                                        : "model-" + Padded5(k + 1) + "-of-" +
                                              Padded5(shards.size()) + ".safetensors";
  }
  return shards;
}

ShardRange ShardsOfPart(size_t shards, int64_t part, int64_t parts) {
  if (part < 1 || part > parts) {
    throw UsageError("--part " + std::to_string(part) + "/" + std::to_string(parts) +
                     " is not within 1/n to n/n");
  }
  return {shards * static_cast<size_t>(part - 1) / static_cast<size_t>(parts),
          shards * static_cast<size_t>(part) / static_cast<size_t>(parts)};
}

Json MakeJob(const SourceModel& source, const Plan& plan, const MethodOptions& method,
             const ExpandOptions& options, const std::vector<Shard>& shards) {
  Json files = Json::array(), tensors = Json::object();
  for (const Shard& shard : shards) files.push_back({{"file", shard.file}, {"bytes", shard.bytes}});
  for (size_t k = 0; k < shards.size(); ++k) {
    for (size_t t : shards[k].tensors) tensors[plan.tensors[t].name] = k;
  }
  Json job = {{"source", fs::absolute(source.path).lexically_normal().string()},
              {"expansion", Provenance(source, plan, method, options)},
              {"config", plan.config},
              {"shards", files},
              {"tensors", tensors}};
  // Settings that change bytes without showing in the provenance.
  Json settings = Json::array();
  for (const TensorOp& op : plan.tensors) {
    settings.push_back({static_cast<int>(op.kind), static_cast<int>(op.split), io::Name(op.dtype),
                        op.sigma, op.relative_sigma, op.pad_sigma, op.source_weights, op.scale,
                        op.offset, op.pad_scale, op.sources});
  }
  job["fingerprint"] = std::to_string(std::hash<std::string>()(settings.dump()));
  return job;
}

fs::path PartialOf(const fs::path& destination) {
  fs::path clean = destination.lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  clean += ".partial";
  return clean;
}

std::string ReportName(size_t shard) { return "shard-" + Padded5(shard + 1) + ".jsonl"; }

std::vector<std::string> CopyPassThrough(const SourceModel& source, const Plan& plan,
                                         const fs::path& partial) {
  std::vector<std::string> warnings;
  if (!fs::is_directory(source.path)) return warnings;
  for (auto it = fs::recursive_directory_iterator(source.directory);
       it != fs::recursive_directory_iterator(); ++it) {
    const fs::path relative = fs::relative(it->path(), source.directory);
    if (it->is_directory()) {
      const bool hidden = relative.filename().string().starts_with('.');
      if (hidden || it.depth() > 2) it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file()) continue;
    const bool top = !relative.has_parent_path();
    if (IsWeightsOrConfig(relative) && (top || relative.filename() != "config.json")) {
      if (!top) warnings.push_back(relative.string() + " holds weights of its own; it is left out");
      continue;
    }
    fs::create_directories((partial / relative).parent_path());
    if (EditPooling(it->path(), partial / relative, plan.target)) continue;
    fs::copy_file(it->path(), partial / relative, fs::copy_options::overwrite_existing);
  }
  return warnings;
}

}  // namespace orchard::expand
