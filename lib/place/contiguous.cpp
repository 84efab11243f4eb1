#include "place/contiguous.h"

#include <algorithm>
#include <numeric>

#include "place/levels.h"

namespace orchard::place {
namespace {

constexpr int32_t kMaxBlocks = 2000;
constexpr int32_t kMaxStretches = 64;

// Depth first from the sources: a task once all it needs is there, the last enabled one first.
std::vector<int32_t> DepthFirstTasks(const TaskGraph& tasks) {
  std::vector<int32_t> missing(tasks.size()), stack, order;
  for (int32_t i = tasks.size() - 1; i >= 0; --i) {
    missing[i] = static_cast<int32_t>(tasks.InEdges(i).size());
    if (missing[i] == 0) stack.push_back(i);
  }
  while (!stack.empty()) {
    const int32_t i = stack.back();
    stack.pop_back();
    order.push_back(i);
    for (int32_t e = tasks.out_begin[i + 1] - 1; e >= tasks.out_begin[i]; --e) {
      if (--missing[tasks.edges[e].dst] == 0) stack.push_back(tasks.edges[e].dst);
    }
  }
  return order;
}

// Groups in the order of their first task, in blocks, with sums over prefixes of the blocks.
class Sequence {
 public:
  Sequence(const TaskGraph& tasks, const Cluster& cluster, const GroupFacts& facts,
           const std::vector<int32_t>& order)
      : tasks_(tasks), cluster_(cluster) {
    position_.assign(tasks.groups, -1);
    for (int32_t i : order) {
      int32_t& position = position_[tasks.group[i]];
      if (position < 0) position = groups_++;
    }
    CutCosts();
    ChooseBlocks();
    block_of_.resize(tasks.groups);
    work_.assign((blocks() + 1) * cluster.size(), 0);
    held_.assign(blocks() + 1, 0);
    running_.assign(blocks(), 0);
    for (int32_t g = 0; g < tasks.groups; ++g) {
      const auto after = std::upper_bound(ends_.begin(), ends_.end(), position_[g]);
      block_of_[g] = static_cast<int32_t>(after - ends_.begin());
      held_[block_of_[g] + 1] += facts.resident[g];
    }
    for (int32_t i = 0; i < tasks.size(); ++i) {
      const int32_t b = block_of_[tasks.group[i]];
      for (int32_t d = 0; d < cluster.size(); ++d)
        work_[(b + 1) * cluster.size() + d] += tasks.WorkOn(cluster, i, d);
      running_[b] = std::max(running_[b], tasks.temp[i] + tasks.out[i]);
    }
    for (int32_t b = 0; b < blocks(); ++b) {
      held_[b + 1] += held_[b];
      for (int32_t d = 0; d < cluster.size(); ++d)
        work_[(b + 1) * cluster.size() + d] += work_[b * cluster.size() + d];
    }
  }

  int32_t blocks() const { return static_cast<int32_t>(ends_.size()); }
  int32_t BlockOf(int32_t group) const { return block_of_[group]; }
  Time Work(int32_t begin, int32_t end, int32_t d) const {
    return work_[end * cluster_.size() + d] - work_[begin * cluster_.size() + d];
  }
  int64_t Held(int32_t begin, int32_t end) const { return held_[end] - held_[begin]; }
  int64_t Running(int32_t block) const { return running_[block]; }
  // What crosses between block b - 1 and block b.
  Time Cut(int32_t b) const { return b == 0 ? 0 : cut_[ends_[b - 1]]; }

 private:
  // Of every position p: the tensors from before it to p or later, each once.
  void CutCosts() {
    cut_.assign(groups_ + 1, 0);
    std::vector<std::pair<int32_t, int32_t>> span(tasks_.tensors.size(), {groups_, -1});
    for (size_t e = 0; e < tasks_.edges.size(); ++e) {
      const int32_t from = position_[tasks_.group[tasks_.edges[e].src]];
      const int32_t to = position_[tasks_.group[tasks_.edges[e].dst]];
      for (int32_t t : tasks_.TensorsOf(static_cast<int32_t>(e))) {
        span[t].first = std::min({span[t].first, from, to});
        span[t].second = std::max({span[t].second, from, to});
      }
    }
    for (size_t t = 0; t < span.size(); ++t) {
      const auto [first, last] = span[t];
      if (first >= last) continue;
      const Time cost = cluster_.MeanCost(tasks_.tensors[t].bytes, tasks_.tensors[t].us);
      cut_[first + 1] += cost;
      cut_[last + 1] -= cost;
    }
    std::partial_sum(cut_.begin(), cut_.end(), cut_.begin());
  }

  // Ends of the blocks: all groups, or of each of 2000 windows the position with the cheapest cut.
  void ChooseBlocks() {
    const int32_t count = std::min(groups_, kMaxBlocks);
    for (int32_t b = 0; b < count; ++b) {
      const auto bound = [&](int32_t k) {
        return static_cast<int32_t>(static_cast<int64_t>(groups_) * k / count);
      };
      if (b + 1 == count) {
        ends_.push_back(groups_);
        break;
      }
      const auto first = cut_.begin() + bound(b) + 1, last = cut_.begin() + bound(b + 1) + 1;
      ends_.push_back(static_cast<int32_t>(std::min_element(first, last) - cut_.begin()));
    }
  }

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  int32_t groups_ = 0;
  std::vector<int32_t> position_, ends_, block_of_;  // of groups; of blocks; of groups
  std::vector<Time> cut_, work_;                     // work_[block * devices + d] over prefixes
  std::vector<int64_t> held_, running_;
};

struct Split {
  Time cost = kNever;
  std::vector<int32_t> first;  // block of every stretch, and the end
};

// f[k][j]: the best cost of the first j blocks on the first k devices.
Split BestSplit(const Sequence& sequence, const Cluster& cluster, ContiguousGoal goal) {
  const int32_t blocks = sequence.blocks();
  const int32_t stretches = std::min({cluster.size(), blocks, kMaxStretches});
  std::vector<std::vector<int32_t>> from(stretches + 1, std::vector<int32_t>(blocks + 1, -1));
  std::vector<Time> before(blocks + 1, kNever), now(blocks + 1);
  before[0] = 0;
  Split best;
  int32_t best_stretches = 0;
  for (int32_t k = 1; k <= stretches; ++k) {
    const int32_t d = k - 1;
    const int64_t memory = cluster.devices[d].memory;
    std::fill(now.begin(), now.end(), kNever);
    for (int32_t j = k; j <= blocks; ++j) {
      int64_t running = 0;
      for (int32_t i = j - 1; i >= k - 1; --i) {
        running = std::max(running, sequence.Running(i));
        if (sequence.Held(i, j) + running > memory) break;  // and more so from here on
        if (before[i] >= kNever) continue;
        const Time load = sequence.Work(i, j, d) + sequence.Cut(i) + sequence.Cut(j);
        const Time cost = goal == ContiguousGoal::kLeastTraffic ? before[i] + sequence.Cut(i)
                                                                : std::max(before[i], load);
        if (cost < now[j]) {
          now[j] = cost;
          from[k][j] = i;
        }
      }
    }
    std::swap(before, now);
    if (before[blocks] < best.cost) {
      best.cost = before[blocks];
      best_stretches = k;
    }
  }
  if (best.cost >= kNever) return best;
  best.first.assign(best_stretches + 1, blocks);
  for (int32_t k = best_stretches; k > 0; --k) best.first[k - 1] = from[k][best.first[k]];
  return best;
}

}  // namespace

Schedule SplitContiguously(const TaskGraph& tasks, const Cluster& cluster, const GroupFacts& facts,
                           ContiguousGoal goal) {
  Schedule plan;
  plan.device.assign(tasks.size(), -1);
  Time cost = kNever;
  for (const std::vector<int32_t>& order : {TopologicalTasks(tasks), DepthFirstTasks(tasks)}) {
    const Sequence sequence(tasks, cluster, facts, order);
    const Split split = BestSplit(sequence, cluster, goal);
    if (split.cost >= cost) continue;
    cost = split.cost;
    plan.placed = tasks.size();
    for (int32_t i = 0; i < tasks.size(); ++i) {
      const int32_t g = tasks.group[i];
      const auto after =
          std::upper_bound(split.first.begin(), split.first.end(), sequence.BlockOf(g));
      const auto stretch = static_cast<int32_t>(after - split.first.begin()) - 1;
      plan.device[i] = facts.pin[g] >= 0 ? facts.pin[g] : stretch;
    }
  }
  return plan;
}

}  // namespace orchard::place
