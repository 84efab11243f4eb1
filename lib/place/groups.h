// Which operators must share a device (T1 and T2 of the method, and a capped T2 of our own).
#pragma once

#include <cstdint>
#include <vector>

#include "cli/fields.h"
#include "place/cluster.h"
#include "place/graph.h"

namespace orchard::place {

enum class Grouping {
  kNone,           // every operator on its own
  kTf,             // the groups that the graph states
  kCoplace,        // and every operator with one consumer together with it
  kCoplaceCapped,  // the same, up to a size and work that leave something to divide
};
inline constexpr cli::EnumName<Grouping> kGroupingNames[] = {
    {"none", Grouping::kNone},
    {"tf", Grouping::kTf},
    {"coplace", Grouping::kCoplace},
    {"coplace-capped", Grouping::kCoplaceCapped}};
constexpr auto EnumNames(Grouping) { return std::span(kGroupingNames); }
const char* Name(Grouping grouping);

// Bounds of one group in kCoplaceCapped.
struct GroupCap {
  int64_t bytes = INT64_MAX;
  Time work = kNever;
};

// The usual cap: a quarter of the smallest device, and half of a device's share of the work.
GroupCap DefaultGroupCap(const Graph& graph, const Cluster& cluster);

// The group of every operator, numbered by first appearance. kCoplace merges groups, so a straight
// chain becomes one. kCoplaceCapped attaches sources with parameters and a single consumer to it
// first, then takes edges by decreasing cost and merges where the caps allow and no cycle between
// groups can arise (docs/methods/baechi-place.md).
std::vector<int32_t> GroupOperators(const Graph& graph, Grouping grouping,
                                    const Cluster& cluster = {}, const GroupCap& cap = {});

// The name of every group: the shortest of those that the graph states, then the first in
// alphabetical order; the first operator's where it states none.
std::vector<std::string> GroupNames(const Graph& graph, const std::vector<int32_t>& group);

}  // namespace orchard::place
