#include "segment/network_options.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json_file.h"

namespace orchard::segment {
namespace {

template <class E>
std::string NameOf(E value) {
  for (const auto& entry : EnumNames(E{}))
    if (entry.value == value) return entry.name;
  return "";
}

template <class E>
E ValueOf(const nlohmann::json& json) {
  const auto name = json.get<std::string>();
  for (const auto& entry : EnumNames(E{}))
    if (entry.name == name) return entry.value;
  throw DataError("'" + name + "' is unknown");
}

}  // namespace

std::vector<int64_t> FusedLevels(const NetworkOptions& options, const Plan& plan) {
  if (options.attention == AttentionKind::kOff) return {};
  const int64_t stages = std::ssize(plan.stages);
  std::vector<int64_t> levels = options.levels;
  if (levels.empty()) {
    for (int64_t s = std::max<int64_t>(0, stages - 3); s < stages; ++s) {
      const int64_t tokens = volume::Voxels(plan.StageSize(static_cast<size_t>(s)));
      if (tokens <= options.max_tokens || s + 1 == stages) levels.push_back(s);
    }
  }
  std::sort(levels.begin(), levels.end());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  if (options.stem == TemplateStem::kStrided) {
    if (stages < 2) throw UsageError("a strided stem needs two stages", "model.stem");
    if (levels.front() == 0 && !options.levels.empty())
      throw UsageError("a strided stem leaves the finest stage out", "model.levels");
    std::erase(levels, 0);
  }
  if (levels.back() >= stages) {
    throw UsageError("the plan has " + std::to_string(stages) + " stages", "model.levels");
  }
  return levels;
}

nlohmann::ordered_json ToJson(const NetworkOptions& o) {
  return {{"attention", NameOf(o.attention)},
          {"share", NameOf(o.share)},
          {"mode", NameOf(o.mode)},
          {"foreground", NameOf(o.foreground)},
          {"blocks", NameOf(o.blocks)},
          {"stem", NameOf(o.stem)},
          {"fuse", NameOf(o.fuse)},
          {"levels", o.levels},
          {"max_tokens", o.max_tokens},
          {"key_channels", o.key_channels},
          {"tau", o.tau},
          {"tau_max", o.tau_max},
          {"learn_tau", o.learn_tau},
          {"window", o.window}};
}

NetworkOptions NetworkOptionsFromJson(const nlohmann::json& json, const std::string& where) {
  NetworkOptions o;
  try {
    o.attention = ValueOf<AttentionKind>(json.at("attention"));
    o.share = ValueOf<EncoderShare>(json.at("share"));
    o.mode = ValueOf<TemplateMode>(json.at("mode"));
    o.foreground = ValueOf<ForegroundInput>(json.at("foreground"));
    if (json.contains("blocks")) o.blocks = ValueOf<Blocks>(json["blocks"]);
    if (json.contains("stem")) o.stem = ValueOf<TemplateStem>(json["stem"]);
    o.fuse = ValueOf<Fusion>(json.at("fuse"));
    o.levels = json.at("levels").get<std::vector<int64_t>>();
    o.max_tokens = json.at("max_tokens");
    o.key_channels = json.at("key_channels");
    o.tau = json.at("tau");
    o.tau_max = json.at("tau_max");
    o.learn_tau = json.at("learn_tau");
    o.window = json.at("window");
    const bool levels = std::all_of(o.levels.begin(), o.levels.end(),
                                    [](int64_t level) { return level >= 0 && level < 16; });
    const bool sound = levels && o.max_tokens >= 1 && o.key_channels >= 1 &&
                       o.key_channels <= 4096 && o.tau > 0 && o.tau <= 40 && o.tau_max > 0 &&
                       o.tau_max <= 40 && o.window >= 0 && o.window <= 8192;
    if (!sound) throw DataError("a number outside its range");
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("not a network's configuration: ") + error.what(), where);
  } catch (const DataError& error) {
    throw DataError(error.what(), where);
  }
  return o;
}

NetworkOptions ReadNetworkOptions(const std::filesystem::path& file) {
  return NetworkOptionsFromJson(io::ReadJsonFile(file), file.string());
}

}  // namespace orchard::segment
