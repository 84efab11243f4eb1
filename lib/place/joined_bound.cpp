#include "place/joined_bound.h"

#include <algorithm>

#include "place/levels.h"
#include "place/union_find.h"

namespace orchard::place {
namespace {

// The least time that edge e takes between two devices.
Time CheapestTransfer(const TaskGraph& tasks, const Cluster& cluster, int32_t e) {
  Time cheapest = kNever;
  for (int32_t src = 0; src < cluster.size(); ++src) {
    for (int32_t dst = 0; dst < cluster.size(); ++dst) {
      if (src == dst) continue;
      Time cost = 0;
      for (int32_t t : tasks.TensorsOf(e)) {
        const Time tensor = tasks.Cost(cluster, t, src, dst);
        cost = cluster.comm == Comm::kParallel ? std::max(cost, tensor) : cost + tensor;
      }
      cheapest = std::min(cheapest, cost);
      if (cluster.links.empty()) return cheapest;
    }
  }
  return cheapest;
}

class JoinedComponents {
 public:
  JoinedComponents(const TaskGraph& tasks, const Cluster& cluster,
                   const std::vector<int64_t>& resident)
      : tasks_(tasks), cluster_(cluster), resident_(resident), first_(tasks.groups, -1) {
    for (const Device& device : cluster.devices) memory_ = std::max(memory_, device.memory);
    const Levels levels = PathLevels(tasks, cluster, tasks.LeastWork(cluster), 0);
    const std::vector<Time> least = tasks.LeastWork(cluster);
    for (int32_t i = 0; i < tasks.size(); ++i) {
      if (first_[tasks.group[i]] < 0) first_[tasks.group[i]] = i;
    }
    for (size_t e = 0; e < tasks.edges.size(); ++e) {
      const auto [h, j] = tasks.edges[e];
      through_.push_back(levels.top[h] + least[h] +
                         CheapestTransfer(tasks, cluster, static_cast<int32_t>(e)) +
                         levels.bottom[j]);
    }
  }

  const std::vector<Time>& through() const { return through_; }

  // The largest compute of a component that edges beyond `time` join; kNever where one fits no
  // device.
  Time Largest(Time time) const {
    UnionFind joined(tasks_.size());
    for (int32_t i = 0; i < tasks_.size(); ++i) joined.Unite(i, first_[tasks_.group[i]]);
    for (size_t e = 0; e < through_.size(); ++e) {
      if (through_[e] > time) joined.Unite(tasks_.edges[e].src, tasks_.edges[e].dst);
    }
    const int32_t devices = cluster_.size();
    std::vector<Time> work(static_cast<size_t>(tasks_.size()) * devices, 0);
    std::vector<int64_t> held(tasks_.size(), 0);
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      const int32_t root = joined.Find(i);
      held[root] += resident_[i];
      if (held[root] > memory_) return kNever;
      for (int32_t d = 0; d < devices; ++d)
        work[static_cast<size_t>(root) * devices + d] += tasks_.WorkOn(cluster_, i, d);
    }
    Time largest = 0;
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      const auto row = work.begin() + static_cast<ptrdiff_t>(i) * devices;
      largest = std::max(largest, *std::min_element(row, row + devices));
    }
    return largest;
  }

 private:
  const TaskGraph& tasks_;
  const Cluster& cluster_;
  const std::vector<int64_t>& resident_;
  int64_t memory_ = 0;          // of the largest device
  std::vector<int32_t> first_;  // task of each group
  std::vector<Time> through_;   // of each edge
};

}  // namespace

Time JoinedBound(const TaskGraph& tasks, const Cluster& cluster,
                 const std::vector<int64_t>& resident) {
  if (cluster.size() < 2 || tasks.size() == 0) return 0;
  const JoinedComponents components(tasks, cluster, resident);
  std::vector<Time> steps = components.through();  // components only change at these
  steps.push_back(0);
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  // The first step k at whose components a time below the next step is possible.
  size_t low = 0, high = steps.size() - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    // From steps[middle] to just before the next one the components are the same.
    if (components.Largest(steps[middle]) < steps[middle + 1]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  const Time largest = components.Largest(steps[low]);
  // Not even uncut groups fit: nothing does, and there is no makespan to bound.
  return largest >= kNever ? 0 : std::max(steps[low], largest);
}

}  // namespace orchard::place
