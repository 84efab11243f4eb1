#include "place/exact_search.h"

#include <algorithm>
#include <numeric>

#include "place/bounds.h"
#include "place/exhaustive.h"
#include "place/levels.h"
#include "place/offload.h"

namespace orchard::place {
namespace {

class PlacementSearch {
 public:
  PlacementSearch(const Problem& problem, Time incumbent, SearchBudget& budget, bool offload)
      : problem_(problem),
        tasks_(problem.ops),
        budget_(budget),
        offload_(offload && problem.memory_can_bind),
        resident_(problem.sizes.Resident()),
        alike_(DevicesAreAlike(problem)),
        topological_(TopologicalTasks(tasks_)),
        tasks_of_(tasks_.TasksOfGroups()),
        of_group_(tasks_.groups, -1),
        work_(problem.cluster.size(), 0),
        held_(problem.cluster.size(), 0),
        best_(incumbent),
        unresolved_(kNever) {
    std::vector<uint8_t> seen(tasks_.groups, 0);
    for (int32_t i : topological_) {
      if (!seen[tasks_.group[i]]) order_.push_back(tasks_.group[i]);
      seen[tasks_.group[i]] = 1;
    }
    least_ = tasks_.LeastWork(problem.cluster);
    if (offload_) {
      for (const Device& device : problem.cluster.devices) alike_ = alike_ && !device.host;
      needs_ = OffloadedNeeds(problem);
      for (int32_t i = 0; i < tasks_.size(); ++i) resident_[i] -= problem.sizes.perm[i];
    }
  }

  ExactResult Run() {
    ExactResult result;
    const Time simple = ComputeLowerBound(tasks_, problem_.cluster, resident_).value();
    const bool through = tasks_.groups <= kMaxExactGroups && Descend(0, 0);
    result.finished = through && unresolved_ >= best_;
    result.placements = placements_;
    // Where nothing fits, `best_` is still kNever, and so is the bound.
    result.bound = through ? std::max(simple, std::min(best_, unresolved_)) : simple;
    result.best = std::move(found_);
    return result;
  }

 private:
  // False when the budget ran out. `used`: devices that hold a group, when all are alike.
  bool Descend(size_t depth, int32_t used) {
    if (!budget_.Spend()) return false;
    const Time bound = Bound();
    if (bound >= best_) return true;
    if (depth == order_.size()) {
      Leaf(bound);
      return true;
    }
    const int32_t g = order_[depth];
    const int32_t pin = problem_.group_pin[g];
    const int32_t last =
        alike_ ? std::min(problem_.cluster.size() - 1, used) : problem_.cluster.size() - 1;
    for (int32_t d = std::max(pin, 0); d <= (pin >= 0 ? pin : last); ++d) {
      Time work = 0;
      int64_t held = 0;
      for (int32_t i : tasks_of_[g]) {
        work += tasks_.WorkOn(problem_.cluster, i, d);
        held += resident_[i];
      }
      const int64_t memory = problem_.cluster.devices[d].memory;
      if (held_[d] + held > memory || (offload_ && NeedOf(g) > memory)) continue;
      of_group_[g] = d;
      work_[d] += work;
      held_[d] += held;
      const bool more = Descend(depth + 1, std::max(used, d + 1));
      work_[d] -= work;
      held_[d] -= held;
      of_group_[g] = -1;
      if (!more) return false;
    }
    return true;
  }

  // Bytes that the largest operator of a group needs with all parameters on the host but its own.
  int64_t NeedOf(int32_t group) const {
    int64_t most = 0;
    for (int32_t i : tasks_of_[group]) most = std::max(most, needs_[i]);
    return most;
  }

  // The longest path with the transfers that are certain, and the most loaded device.
  Time Bound() const {
    Time bound = *std::max_element(work_.begin(), work_.end());
    std::vector<Time> start(tasks_.size(), 0);
    for (int32_t i : topological_) {
      const int32_t d = of_group_[tasks_.group[i]];
      const Time end = start[i] + (d >= 0 ? tasks_.WorkOn(problem_.cluster, i, d) : least_[i]);
      bound = std::max(bound, end);
      for (int32_t e = tasks_.out_begin[i]; e < tasks_.out_begin[i + 1]; ++e) {
        const int32_t j = tasks_.edges[e].dst, to = of_group_[tasks_.group[j]];
        Time ready = end;
        if (d >= 0 && to >= 0 && d != to) {
          for (int32_t t : tasks_.TensorsOf(e))
            ready = std::max(ready, end + tasks_.Cost(problem_.cluster, t, d, to));
        }
        start[j] = std::max(start[j], ready);
      }
    }
    return bound;
  }

  void Leaf(Time bound) {
    ++placements_;
    std::vector<int32_t> device(tasks_.size());
    for (int32_t i = 0; i < tasks_.size(); ++i) device[i] = of_group_[tasks_.group[i]];
    Evaluated first = Evaluate(problem_, device);
    if (offload_ && !first.feasible() && first.schedule.makespan < best_) {
      if (auto fitted = OffloadToFit(problem_, first, /*fast=*/true)) Keep(std::move(*fitted));
    }
    Keep(std::move(first));
    if (bound >= best_) return;
    OrderSearchResult orders = SearchOrders(problem_, device, best_, budget_, offload_);
    if (orders.with_host) {
      Keep(std::move(*orders.with_host));
    } else if (orders.order) {
      Keep(Evaluate(problem_, device, *orders.order));
    }
    if (!orders.finished) unresolved_ = std::min(unresolved_, bound);
  }

  void Keep(Evaluated result) {
    if (!result.feasible() || result.schedule.makespan >= best_) return;
    best_ = result.schedule.makespan;
    found_ = std::move(result);
  }

  const Problem& problem_;
  const TaskGraph& tasks_;
  SearchBudget& budget_;
  bool offload_;
  std::vector<int64_t> resident_;  // bytes that operators hold all the time
  std::vector<int64_t> needs_;     // with `offload_`: bytes of each operator while it runs
  bool alike_;
  std::vector<int32_t> topological_, order_;  // tasks; groups by their first task
  std::vector<std::vector<int32_t>> tasks_of_;
  std::vector<int32_t> of_group_;
  std::vector<Time> work_, least_;
  std::vector<int64_t> held_;
  Time best_, unresolved_;
  std::optional<Evaluated> found_;
  int64_t placements_ = 0;
};

}  // namespace

ExactResult SearchPlacements(const Problem& problem, Time incumbent, SearchBudget& budget,
                             bool offload) {
  return PlacementSearch(problem, incumbent, budget, offload).Run();
}

}  // namespace orchard::place
