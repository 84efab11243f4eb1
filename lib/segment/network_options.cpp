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
          {"fuse", NameOf(o.fuse)},
          {"levels", o.levels},
          {"max_tokens", o.max_tokens},
          {"key_channels", o.key_channels},
          {"tau", o.tau},
          {"tau_max", o.tau_max},
          {"learn_tau", o.learn_tau},
          {"window", o.window}};
}

NetworkOptions ReadNetworkOptions(const std::filesystem::path& file) {
  const nlohmann::json json = io::ReadJsonFile(file);
  NetworkOptions o;
  try {
    o.attention = ValueOf<AttentionKind>(json.at("attention"));
    o.share = ValueOf<EncoderShare>(json.at("share"));
    o.mode = ValueOf<TemplateMode>(json.at("mode"));
    o.foreground = ValueOf<ForegroundInput>(json.at("foreground"));
    o.fuse = ValueOf<Fusion>(json.at("fuse"));
    o.levels = json.at("levels").get<std::vector<int64_t>>();
    o.max_tokens = json.at("max_tokens");
    o.key_channels = json.at("key_channels");
    o.tau = json.at("tau");
    o.tau_max = json.at("tau_max");
    o.learn_tau = json.at("learn_tau");
    o.window = json.at("window");
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("not a network's configuration: ") + error.what(), file.string());
  } catch (const DataError& error) {
    throw DataError(error.what(), file.string());
  }
  return o;
}

}  // namespace orchard::segment
