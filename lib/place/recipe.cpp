#include "place/recipe.h"

#include <fmt/format.h>

#include <algorithm>

namespace orchard::place {
namespace {

constexpr int32_t kLargeGraph = 20000;  // operators from which auto tries fused tasks only

}  // namespace

bool Recipe::UsesGroups() const {
  return algorithm == Algorithm::kMTopo || algorithm == Algorithm::kMTopoFill ||
         algorithm == Algorithm::kMEtf || algorithm == Algorithm::kMSct ||
         algorithm == Algorithm::kHeft || algorithm == Algorithm::kHeftLookahead ||
         algorithm == Algorithm::kMemorySplit || algorithm == Algorithm::kContiguous ||
         algorithm == Algorithm::kPipeDream;
}

bool Recipe::LimitFree() const {
  if (algorithm == Algorithm::kAccelerate) return false;
  return !UsesGroups() ||
         (algorithm == Algorithm::kMemorySplit && grouping != Grouping::kCoplaceCapped);
}

std::string Recipe::Label() const {
  if (!UsesGroups()) return Name(algorithm);
  return fmt::format("{}, {}{}", Name(algorithm), Name(grouping), fuse ? ", fused" : "");
}

bool HasExpert(const Graph& graph) {
  return std::any_of(graph.ops.begin(), graph.ops.end(),
                     [](const Op& op) { return op.expert >= 0; });
}

std::vector<Recipe> RecipesOf(const Graph& graph, Algorithm algorithm, const PlaceOptions& options,
                              bool all_settings) {
  const Recipe plain{.algorithm = algorithm};
  if (!plain.UsesGroups()) return {plain};
  std::vector<Grouping> groupings = {Grouping::kTf, Grouping::kCoplace, Grouping::kCoplaceCapped};
  if (options.group) groupings = {*options.group};
  if (!options.group && !all_settings) groupings = {Grouping::kCoplace};
  std::vector<bool> fusions = {options.fuse};
  if (all_settings && options.fuse && graph.size() < kLargeGraph) fusions = {false, true};
  std::vector<Recipe> recipes;
  for (Grouping grouping : groupings) {
    for (bool fuse : fusions) recipes.push_back({algorithm, grouping, fuse});
  }
  return recipes;
}

std::vector<Recipe> Portfolio(const Graph& graph, const PlaceOptions& options) {
  std::vector<Recipe> recipes;
  for (const auto& [name, algorithm] : kAlgorithmNames) {
    if (algorithm == Algorithm::kAuto || algorithm == Algorithm::kRandom ||
        algorithm == Algorithm::kRoundRobin)
      continue;
    if (algorithm == Algorithm::kExpert && !HasExpert(graph)) continue;
    for (const Recipe& recipe : RecipesOf(graph, algorithm, options, true))
      recipes.push_back(recipe);
  }
  return recipes;
}

}  // namespace orchard::place
