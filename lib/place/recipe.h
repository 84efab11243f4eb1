// What the portfolio tries: an algorithm, a way of grouping, and whether operators are fused.
#pragma once

#include <string>
#include <vector>

#include "place/graph.h"
#include "place/groups.h"
#include "place/options.h"

namespace orchard::place {

// One way to plan.
struct Recipe {
  Algorithm algorithm;
  Grouping grouping = Grouping::kTf;
  bool fuse = false;

  bool UsesGroups() const;
  // Whether the placement does not depend on how much memory equal devices have.
  bool LimitFree() const;
  std::string Label() const;
};

// Whether the graph states a placement by a person.
bool HasExpert(const Graph& graph);

// The recipes of one algorithm: `all_settings`, or those that `options` or the default name.
std::vector<Recipe> RecipesOf(const Graph& graph, Algorithm algorithm, const PlaceOptions& options,
                              bool all_settings);

// Those that `auto` tries: all but placements that ignore costs.
std::vector<Recipe> Portfolio(const Graph& graph, const PlaceOptions& options);

}  // namespace orchard::place
