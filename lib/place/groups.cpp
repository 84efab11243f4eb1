#include "place/groups.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "place/training_step.h"
#include "place/union_find.h"

namespace orchard::place {
namespace {

// T1: operators that share a group name, and so on transitively.
UnionFind StatedGroups(const Graph& graph) {
  UnionFind sets(graph.size());
  std::unordered_map<std::string, int32_t> first_with;
  for (int32_t i = 0; i < graph.size(); ++i) {
    for (const std::string& name : graph.ops[i].groups) {
      const auto [entry, added] = first_with.emplace(name, i);
      if (!added) sets.Unite(entry->second, i);
    }
  }
  // An operator without a group is its own group by name: another one may state that name.
  for (int32_t i = 0; i < graph.size(); ++i) {
    if (!graph.ops[i].groups.empty()) continue;
    const auto entry = first_with.find(graph.ops[i].name);
    if (entry != first_with.end()) sets.Unite(entry->second, i);
  }
  return sets;
}

std::vector<int32_t> Number(UnionFind& sets, int32_t size) {
  std::vector<int32_t> group(size), number(size, -1);
  int32_t next = 0;
  for (int32_t i = 0; i < size; ++i) {
    int32_t& n = number[sets.Find(i)];
    if (n < 0) n = next++;
    group[i] = n;
  }
  return group;
}

// Merges groups along edges while the caps hold, and keeps the graph of groups free of cycles
// through the merged ones: an edge is merged only when its producer's group has no other way out or
// its consumer's group no other way in, so that no second path can join them.
class CappedMerge {
 public:
  CappedMerge(const Graph& graph, const Cluster& cluster, const GroupCap& cap, UnionFind sets)
      : graph_(graph),
        cluster_(cluster),
        cap_(cap),
        sets_(std::move(sets)),
        bytes_(graph.size(), 0),
        work_(graph.size(), 0),
        out_(graph.size()),
        in_(graph.size()) {
    for (int32_t i = 0; i < graph.size(); ++i) {
      const Op& op = graph.ops[i];
      bytes_[sets_.Find(i)] += op.perm;
      for (int64_t out : op.out) bytes_[sets_.Find(i)] += out;
      work_[sets_.Find(i)] += FromMicroseconds(op.us);
    }
    for (int32_t e = 0; e < static_cast<int32_t>(graph.edges.size()); ++e) {
      out_[sets_.Find(graph.edges[e].src)].push_back(e);
      in_[sets_.Find(graph.edges[e].dst)].push_back(e);
    }
  }

  std::vector<int32_t> Run() {
    AttachParameters();
    for (const auto& [cost, e] : EdgesByCost()) Try(e);
    return Number(sets_, graph_.size());
  }

 private:
  void AttachParameters() {
    for (int32_t i = 0; i < graph_.size(); ++i) {
      if (graph_.ops[i].perm > 0 && graph_.InEdges(i).empty() && graph_.OutDegree(i) == 1)
        Merge(i, graph_.edges[graph_.out_begin[i]].dst);
    }
  }

  std::vector<std::pair<Time, int32_t>> EdgesByCost() const {
    std::vector<std::pair<Time, int32_t>> order;
    for (int32_t e = 0; e < static_cast<int32_t>(graph_.edges.size()); ++e) {
      Time cost = 0;
      for (int32_t t : graph_.TensorsOf(e))
        cost += cluster_.MeanCost(graph_.tensors[t].bytes, graph_.tensors[t].us);
      order.emplace_back(-cost, e);
    }
    std::sort(order.begin(), order.end());
    return order;
  }

  // Other groups at the far ends of a group's edges, two at most: more are not asked for.
  int Neighbours(int32_t root, bool outwards) {
    int32_t found = -1;
    std::vector<int32_t>& list = outwards ? out_[root] : in_[root];
    int count = 0;
    size_t kept = 0;
    for (size_t k = 0; k < list.size(); ++k) {
      const Edge& edge = graph_.edges[list[k]];
      const int32_t other = sets_.Find(outwards ? edge.dst : edge.src);
      if (other == root) continue;  // inside by now
      list[kept++] = list[k];
      if (other == found) continue;
      found = other;
      if (++count == 2) {
        for (++k; k < list.size(); ++k) list[kept++] = list[k];
        break;
      }
    }
    list.resize(kept);
    return count;
  }

  void Try(int32_t e) {
    const int32_t a = sets_.Find(graph_.edges[e].src), b = sets_.Find(graph_.edges[e].dst);
    if (a == b || bytes_[a] + bytes_[b] > cap_.bytes || work_[a] + work_[b] > cap_.work) return;
    if (Neighbours(a, true) > 1 && Neighbours(b, false) > 1) return;
    Merge(a, b);
  }

  void Merge(int32_t a, int32_t b) {
    a = sets_.Find(a);
    b = sets_.Find(b);
    if (!sets_.Unite(a, b)) return;
    const int32_t kept = sets_.Find(a), gone = kept == a ? b : a;
    bytes_[kept] += bytes_[gone];
    work_[kept] += work_[gone];
    for (auto* lists : {&out_, &in_}) {
      auto &to = (*lists)[kept], &from = (*lists)[gone];
      if (to.size() < from.size()) to.swap(from);
      to.insert(to.end(), from.begin(), from.end());
      from.clear();
      from.shrink_to_fit();
    }
  }

  const Graph& graph_;
  const Cluster& cluster_;
  GroupCap cap_;
  UnionFind sets_;
  std::vector<int64_t> bytes_;
  std::vector<Time> work_;
  std::vector<std::vector<int32_t>> out_, in_;  // edges that leave and enter each group
};

}  // namespace

const char* Name(Grouping grouping) { return kGroupingNames[static_cast<int>(grouping)].name; }

GroupCap DefaultGroupCap(const Graph& graph, const Cluster& cluster) {
  if (graph.step) return DefaultGroupCap(graph.step->forward, cluster);
  GroupCap cap;
  for (const Device& device : cluster.devices) cap.bytes = std::min(cap.bytes, device.memory / 4);
  Time work = 0;
  for (const Op& op : graph.ops) work += FromMicroseconds(op.us);
  cap.work = work / (2 * std::max<int64_t>(1, cluster.size()));
  return cap;
}

std::vector<int32_t> GroupOperators(const Graph& graph, Grouping grouping, const Cluster& cluster,
                                    const GroupCap& cap) {
  if (graph.step) {  // T4: groups are made of forward operators, and the others follow
    return LiftToStep(*graph.step, GroupOperators(graph.step->forward, grouping, cluster, cap));
  }
  if (grouping == Grouping::kNone) {
    UnionFind alone(graph.size());
    return Number(alone, graph.size());
  }
  UnionFind sets = StatedGroups(graph);
  if (grouping == Grouping::kCoplaceCapped)
    return CappedMerge(graph, cluster, cap, std::move(sets)).Run();
  if (grouping == Grouping::kCoplace) {
    for (int32_t i = 0; i < graph.size(); ++i) {
      if (graph.OutDegree(i) == 1) sets.Unite(i, graph.edges[graph.out_begin[i]].dst);
    }
  }
  return Number(sets, graph.size());
}

std::vector<std::string> GroupNames(const Graph& graph, const std::vector<int32_t>& group) {
  std::vector<std::string> names;
  std::vector<uint8_t> stated;
  for (int32_t i = 0; i < graph.size(); ++i) {
    if (group[i] >= static_cast<int32_t>(names.size())) {
      names.resize(group[i] + 1);
      stated.resize(group[i] + 1, 0);
    }
    std::string& best = names[group[i]];
    if (best.empty()) best = graph.ops[i].name;
    for (const std::string& name : graph.ops[i].groups) {
      if (!stated[group[i]] || std::pair(name.size(), name) < std::pair(best.size(), best))
        best = name;
      stated[group[i]] = 1;
    }
  }
  return names;
}

}  // namespace orchard::place
