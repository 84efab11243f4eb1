// The small graphs whose results under the published code are known (docs/methods/baechi-place.md).
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "place/cluster.h"
#include "place/graph.h"

namespace orchard::place::golden {

struct Node {
  const char* name;
  double us;
  int64_t out = 4;
  int64_t perm = 0, temp = 0;
  const char* group = "";
};
struct Arc {
  const char *src, *dst;
  double us;
};

// One tensor per producer and cost.
inline Graph Make(const std::vector<Node>& nodes, const std::vector<Arc>& arcs,
                  PersistentMemory convention = PersistentMemory::kInOutputs) {
  GraphBuilder builder("golden");
  builder.graph.persistent_memory = convention;
  for (const Node& node : nodes) {
    Op op{
        .name = node.name, .us = node.us, .perm = node.perm, .temp = node.temp, .out = {node.out}};
    if (*node.group) op.groups.push_back(node.group);
    builder.AddOp(op, node.name);
  }
  for (const Arc& arc : arcs) {
    const int32_t src = builder.Find(arc.src, ""), dst = builder.Find(arc.dst, "");
    builder.AddUse(src, dst, fmt::format("{}/{}", arc.src, arc.us), 4, arc.us, "");
  }
  return builder.Build();
}

inline Graph G1() {
  return Make(
      {{"a", 4, 8}, {"b", 6}, {"c", 5}, {"d", 7}, {"e", 3, 0}},
      {{"a", "b", 2}, {"a", "c", 2}, {"a", "d", 2}, {"b", "e", 1}, {"c", "e", 1}, {"d", "e", 1}});
}
inline Graph G2() {
  return Make(
      {{"s", 2}, {"l1", 5, 4, 10}, {"l2", 5, 4, 10}, {"r1", 5, 4, 10}, {"r2", 5, 4, 10}, {"t", 2}},
      {{"s", "l1", 1},
       {"s", "r1", 1},
       {"l1", "l2", 1},
       {"r1", "r2", 1},
       {"l2", "t", 1},
       {"r2", "t", 1}},
      PersistentMemory::kSeparate);
}
inline Graph G3() {
  return Make({{"a", 10}, {"b", 9}, {"c", 10}, {"d", 10}, {"e", 10}},
              {{"a", "c", 8}, {"a", "d", 8}, {"b", "d", 8}, {"b", "e", 8}});
}
inline Graph G4() {
  return Make({{"a", 5, 10}, {"b", 5, 10}, {"c", 5, 10}, {"d", 5, 10}},
              {{"a", "b", 20}, {"b", "c", 20}, {"c", "d", 20}});
}
inline Graph G5() {
  return Make({{"v0", 7}, {"v1", 6}, {"v2", 7}, {"v3", 8}, {"v4", 9}, {"v5", 5}, {"v6", 10}},
              {{"v0", "v2", 4},
               {"v0", "v3", 4},
               {"v0", "v4", 4},
               {"v1", "v5", 2},
               {"v2", "v3", 3},
               {"v2", "v4", 3},
               {"v2", "v5", 3},
               {"v2", "v6", 3},
               {"v4", "v5", 4},
               {"v4", "v6", 4}});
}
inline Graph G6() {
  return Make({{"x", 1, 5},
               {"W0", 1, 40, 40, 0, "g0"},
               {"m0", 10, 5, 0, 4, "g0"},
               {"W1", 1, 40, 40, 0, "g1"},
               {"m1", 10, 5, 0, 4, "g1"},
               {"W2", 1, 40, 40, 0, "g2"},
               {"m2", 10, 5, 0, 4, "g2"},
               {"W3", 1, 40, 40, 0, "g3"},
               {"m3", 10, 5, 0, 4, "g3"}},
              {{"W0", "m0", 8},
               {"W1", "m1", 8},
               {"W2", "m2", 8},
               {"W3", "m3", 8},
               {"x", "m0", 2},
               {"m0", "m1", 2},
               {"m1", "m2", 2},
               {"m2", "m3", 2}});
}

// Devices as the goldens have them: half duplex, whole microseconds.
inline Cluster Devices(int32_t count, int64_t memory = INT64_MAX, Comm comm = Comm::kHalf) {
  Cluster cluster(count, memory, {}, comm);
  cluster.whole_microseconds = true;
  return cluster;
}

}  // namespace orchard::place::golden
