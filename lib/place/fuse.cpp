#include "place/fuse.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace orchard::place {
namespace {

class Fusion {
 public:
  Fusion(const TaskGraph& tasks, bool disjoint_paths)
      : tasks_(tasks),
        disjoint_paths_(disjoint_paths),
        first_(tasks.topo),
        last_(tasks.topo),
        seen_(tasks.size(), 0),
        fused_(tasks),
        alive_(tasks.size(), 1),
        out_(tasks.size()),
        in_(tasks.size()),
        members_(tasks.size()) {
    for (int32_t i = 0; i < tasks.size(); ++i) {
      const auto members = tasks.Members(i);
      members_[i].assign(members.begin(), members.end());
    }
    edges_.reserve(tasks.edges.size());
    for (int32_t e = 0; e < static_cast<int32_t>(tasks.edges.size()); ++e) {
      const auto tensors = tasks.TensorsOf(e);
      AddEdge(tasks.edges[e].src, tasks.edges[e].dst, {tensors.begin(), tensors.end()});
    }
  }

  TaskGraph Run(bool retopo) {
    for (const std::vector<int32_t>& group : tasks_.TasksOfGroups()) FuseGroup(group);
    return Compact(retopo);
  }

 private:
  struct FusionEdge {
    int32_t src, dst;
    std::vector<int32_t> tensors;
    bool alive = true;
  };

  static uint64_t Key(int32_t src, int32_t dst) {
    return static_cast<uint64_t>(src) << 32 | static_cast<uint32_t>(dst);
  }

  int32_t AddEdge(int32_t src, int32_t dst, std::vector<int32_t> tensors) {
    const auto e = static_cast<int32_t>(edges_.size());
    edges_.push_back({src, dst, std::move(tensors)});
    edge_of_[Key(src, dst)] = e;
    out_[src].edges.push_back(e);
    in_[dst].edges.push_back(e);
    ++out_[src].degree;
    ++in_[dst].degree;
    return e;
  }

  void RemoveEdge(int32_t e) {
    FusionEdge& edge = edges_[e];
    edge.alive = false;
    edge_of_.erase(Key(edge.src, edge.dst));
    --out_[edge.src].degree;
    --in_[edge.dst].degree;
  }

  void FuseGroup(const std::vector<int32_t>& group) {
    if (group.size() < 2) return;
    const int32_t id = tasks_.group[group[0]];
    for (int32_t u : group) {
      for (int32_t e : out_[u].edges) {
        if (edges_[e].alive && tasks_.group[edges_[e].dst] == id) queue_.push_back(e);
      }
    }
    while (!queue_.empty()) {
      const int32_t e = queue_.front();
      queue_.pop_front();
      if (!edges_[e].alive) continue;
      const int32_t u = edges_[e].src, v = edges_[e].dst;
      if (out_[u].degree > 1 && in_[v].degree > 1) {  // another path u .. v may exist
        if (!disjoint_paths_ || SecondPath(e, u, v)) continue;
      }
      FusePair(e, u, v);
    }
  }

  // Whether v can be reached from u without edge e. A path only meets tasks that hold an operator
  // before the last one of v.
  bool SecondPath(int32_t e, int32_t u, int32_t v) {
    ++round_;
    stack_ = {u};
    while (!stack_.empty()) {
      const int32_t at = stack_.back();
      stack_.pop_back();
      for (int32_t next : out_[at].edges) {
        const int32_t to = edges_[next].dst;
        if (!edges_[next].alive || next == e || seen_[to] == round_) continue;
        if (to == v) return true;
        seen_[to] = round_;
        if (first_[to] < last_[v]) stack_.push_back(to);
      }
    }
    return false;
  }

  void FusePair(int32_t e, int32_t u, int32_t v) {
    RemoveEdge(e);
    first_[u] = std::min(first_[u], first_[v]);
    last_[u] = std::max(last_[u], last_[v]);
    fused_.work[u] += fused_.work[v];
    for (int32_t d = 0; d < fused_.work_devices; ++d)
      fused_.work_on[u * fused_.work_devices + d] += fused_.work_on[v * fused_.work_devices + d];
    fused_.perm[u] += fused_.perm[v];
    fused_.temp[u] = std::max(fused_.temp[u], fused_.temp[v]);
    members_[u].insert(members_[u].end(), members_[v].begin(), members_[v].end());
    alive_[v] = 0;
    for (int32_t old : in_[v].edges) {
      if (edges_[old].alive) Move(old, edges_[old].src, u);
    }
    for (int32_t old : out_[v].edges) {
      if (edges_[old].alive) Move(old, u, edges_[old].dst);
    }
    touched_.push_back(u);
  }

  // Edge `old` becomes one from `src` to `dst`, or joins the one that is there.
  void Move(int32_t old, int32_t src, int32_t dst) {
    std::vector<int32_t> tensors = std::move(edges_[old].tensors);
    RemoveEdge(old);
    const auto found = edge_of_.find(Key(src, dst));
    if (found == edge_of_.end()) {
      const int32_t e = AddEdge(src, dst, std::move(tensors));
      if (tasks_.group[src] == tasks_.group[dst]) queue_.push_back(e);
      return;
    }
    std::vector<int32_t>& list = edges_[found->second].tensors;
    for (int32_t t : tensors) {
      if (std::find(list.begin(), list.end(), t) == list.end()) list.push_back(t);
    }
  }

  TaskGraph Compact(bool retopo) {
    TaskGraph result;
    std::vector<int32_t> renamed(tasks_.size(), -1), topo;
    std::vector<uint8_t> was_fused(tasks_.size(), 0);
    for (int32_t u : touched_) was_fused[u] = 1;
    result.tensors = tasks_.tensors;
    result.work_devices = tasks_.work_devices;
    result.member_begin = {0};
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      if (!alive_[i]) continue;
      renamed[i] = result.size();
      result.work.push_back(fused_.work[i]);
      for (int32_t d = 0; d < fused_.work_devices; ++d)
        result.work_on.push_back(fused_.work_on[i * fused_.work_devices + d]);
      result.perm.push_back(fused_.perm[i]);
      result.temp.push_back(fused_.temp[i]);
      result.out.push_back(was_fused[i] ? OutputsOf(i) : tasks_.out[i]);
      result.group.push_back(tasks_.group[i]);
      topo.push_back(tasks_.topo[i]);
      result.members.insert(result.members.end(), members_[i].begin(), members_[i].end());
      result.member_begin.push_back(static_cast<int32_t>(result.members.size()));
    }
    result.tensor_begin = {0};
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      if (!alive_[i]) continue;
      for (int32_t e : out_[i].edges) {
        const FusionEdge& edge = edges_[e];
        if (!edge.alive) continue;
        result.edges.push_back({renamed[i], renamed[edge.dst]});
        for (int32_t t : edge.tensors) {
          result.edge_tensors.push_back(t);
          result.tensors[t].producer = renamed[i];
        }
        result.tensor_begin.push_back(static_cast<int32_t>(result.edge_tensors.size()));
      }
    }
    Index(result);
    if (!retopo) result.topo = topo;
    return result;
  }

  int64_t OutputsOf(int32_t i) const {
    std::vector<int32_t> tensors;
    for (int32_t e : out_[i].edges) {
      if (edges_[e].alive)
        tensors.insert(tensors.end(), edges_[e].tensors.begin(), edges_[e].tensors.end());
    }
    std::sort(tensors.begin(), tensors.end());
    tensors.erase(std::unique(tensors.begin(), tensors.end()), tensors.end());
    int64_t bytes = 0;
    for (int32_t t : tensors) bytes += tasks_.tensors[t].bytes;
    return bytes;
  }

  struct Incident {
    std::vector<int32_t> edges;  // dead ones included, in the order in which they were added
    int32_t degree = 0;
  };

  const TaskGraph& tasks_;
  bool disjoint_paths_;
  std::vector<int32_t> first_, last_;  // topological positions of a task's operators
  std::vector<int64_t> seen_;          // round in which a search met the task
  std::vector<int32_t> stack_;
  int64_t round_ = 0;
  TaskGraph fused_;  // work, perm and temp of the tasks as they grow
  std::vector<uint8_t> alive_;
  std::vector<FusionEdge> edges_;
  std::vector<Incident> out_, in_;
  std::unordered_map<uint64_t, int32_t> edge_of_;
  std::vector<std::vector<int32_t>> members_;
  std::vector<int32_t> touched_;
  std::deque<int32_t> queue_;
};

}  // namespace

TaskGraph Fuse(const TaskGraph& tasks, const FuseOptions& options) {
  return Fusion(tasks, options.disjoint_paths).Run(options.retopo);
}

}  // namespace orchard::place
