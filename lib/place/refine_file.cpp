#include "place/refine_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/json_file.h"

namespace orchard::place {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Candidate& candidate, const RefineCost& cost) {
  return {{"device", candidate.device},
          {"rank", candidate.rank},
          {"makespan", cost.makespan},
          {"excess", cost.excess}};
}

void FromJson(const nlohmann::json& json, Candidate& candidate, RefineCost& cost) {
  json.at("device").get_to(candidate.device);
  json.at("rank").get_to(candidate.rank);
  json.at("makespan").get_to(cost.makespan);
  json.at("excess").get_to(cost.excess);
}

Json ToJson(const ChainState& chain) {
  return {{"number", chain.number},
          {"current", ToJson(chain.current, chain.current_cost)},
          {"best", ToJson(chain.best, chain.best_cost)},
          {"start_value", chain.start_value},
          {"improved", chain.improved},
          {"random_block", chain.random_block}};
}

ChainState ChainFromJson(const nlohmann::json& json) {
  ChainState chain;
  json.at("number").get_to(chain.number);
  FromJson(json.at("current"), chain.current, chain.current_cost);
  FromJson(json.at("best"), chain.best, chain.best_cost);
  json.at("start_value").get_to(chain.start_value);
  json.at("improved").get_to(chain.improved);
  json.at("random_block").get_to(chain.random_block);
  return chain;
}

// Every operator on a device that there is, and ranks that are an order, or none.
bool Belongs(const Candidate& candidate, const Problem& problem) {
  const auto n = static_cast<size_t>(problem.ops.size());
  if (candidate.device.size() != n) return false;
  for (int32_t device : candidate.device) {
    if (device < 0 || device >= problem.cluster.size()) return false;
  }
  if (candidate.rank.empty()) return true;
  std::vector<int32_t> sorted = candidate.rank;
  std::sort(sorted.begin(), sorted.end());
  for (size_t r = 0; r < sorted.size(); ++r) {
    if (sorted[r] != static_cast<int32_t>(r)) return false;
  }
  return sorted.size() == n;
}

}  // namespace

std::optional<RefineState> RefineFile::Load(const Problem& problem) const {
  if (path_.empty() || !std::filesystem::exists(path_)) return std::nullopt;
  const nlohmann::json json = io::ReadJsonFile(path_, 4'000'000'000);
  RefineState state;
  std::string key;
  try {
    json.at("key").get_to(key);
    json.at("round").get_to(state.round);
    json.at("seconds").get_to(state.seconds);
    for (const auto& chain : json.at("chains")) state.chains.push_back(ChainFromJson(chain));
  } catch (const nlohmann::json::exception&) {
    throw DataError("not the state of a refinement", path_.string(), "--force begins anew");
  }
  if (key != key_) {
    throw UsageError("the state of another refinement", path_.string(),
                     "the same graph and options are needed to go on; --force begins anew");
  }
  const bool fits = !state.chains.empty() && state.round >= 0 && state.round <= kRefineRounds &&
                    std::all_of(state.chains.begin(), state.chains.end(), [&](const auto& chain) {
                      return Belongs(chain.current, problem) && Belongs(chain.best, problem);
                    });
  if (!fits)
    throw DataError("a refinement of another graph", path_.string(), "--force begins anew");
  return state;
}

void RefineFile::Save(const RefineState& state) const {
  if (path_.empty()) return;
  Json chains = Json::array();
  for (const ChainState& chain : state.chains) chains.push_back(ToJson(chain));
  const Json json = {
      {"format", "baechi-refine"}, {"version", 1},    {"key", key_}, {"round", state.round},
      {"seconds", state.seconds},  {"chains", chains}};
  WriteFileAtomically(path_, json.dump() + "\n");
}

RefineFile RefineFile::Later(int n, int microbatches) const {
  if (path_.empty()) return {};
  RefineFile later = *this;
  later.path_.replace_filename(fmt::format("{}-{}-of-{}{}", path_.stem().string(), n, microbatches,
                                           path_.extension().string()));
  return later;
}

void RefineFile::Remove() const {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  const std::string begin = path_.stem().string() + "-", end = path_.extension().string();
  std::vector<std::filesystem::path> later;
  for (const auto& entry : std::filesystem::directory_iterator(path_.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end)) later.push_back(entry.path());
  }
  for (const auto& path : later) std::filesystem::remove(path, ignored);
}

}  // namespace orchard::place
