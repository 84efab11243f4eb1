#include "place/order_search.h"

#include <algorithm>
#include <tuple>

#include "base/clock.h"
#include "place/fetch_search.h"
#include "place/levels.h"
#include "place/pipeline_order.h"

namespace orchard::place {
namespace {

class OrderSearch {
 public:
  OrderSearch(const Problem& problem, const std::vector<int32_t>& device, Time below,
              SearchBudget& budget, bool offload)
      : problem_(problem),
        tasks_(problem.ops),
        device_(device),
        budget_(budget),
        simulator_(problem.ops, problem.cluster),
        exact_(problem.cluster.comm == Comm::kParallel && !problem.memory_can_bind),
        offload_(offload && problem.memory_can_bind),
        missing_(tasks_.size()),
        earliest_(tasks_.size(), 0),
        available_(problem.cluster.size(), 0),
        left_(problem.cluster.size(), 0),
        others_left_(problem.cluster.size(), 0) {
    result_.makespan = below;
    update_ = Updates(problem.graph);
    if (update_.empty()) update_.assign(tasks_.size(), 0);
    sort_updates_ = exact_ || LocalUpdates(problem, device);
    for (int32_t i = 0; i < tasks_.size(); ++i) others_left_[device[i]] += 1 - update_[i];
    crossing_.assign(tasks_.edges.size(), 0);
    work_.resize(tasks_.size());
    for (size_t e = 0; e < crossing_.size(); ++e) {
      const auto [h, j] = tasks_.edges[e];
      if (device[h] == device[j]) continue;
      for (int32_t t : tasks_.TensorsOf(static_cast<int32_t>(e)))
        crossing_[e] =
            std::max(crossing_[e], tasks_.Cost(problem.cluster, t, device[h], device[j]));
    }
    tail_.assign(tasks_.size(), 0);
    const std::vector<int32_t> order = TopologicalTasks(tasks_);
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      work_[*at] = tasks_.WorkOn(problem.cluster, *at, device[*at]);
      left_[device[*at]] += work_[*at];
      for (int32_t e = tasks_.out_begin[*at]; e < tasks_.out_begin[*at + 1]; ++e)
        tail_[*at] = std::max(tail_[*at], crossing_[e] + tail_[tasks_.edges[e].dst]);
      tail_[*at] += work_[*at];
    }
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      missing_[i] = static_cast<int32_t>(tasks_.InEdges(i).size());
      if (missing_[i] == 0) ready_.push_back(i);
    }
  }

  OrderSearchResult Run() {
    result_.finished = Descend({-1, -1, -1}, 0);
    if (!result_.order) result_.makespan = kNever;
    return std::move(result_);
  }

 private:
  using Key = std::tuple<Time, Time, int32_t>;  // start, end, topological index

  Time StartOf(int32_t i) const { return std::max(earliest_[i], available_[device_[i]]); }

  // False when the budget ran out.
  bool Descend(const Key& last, Time end) {
    if (ready_.empty()) return Leaf(end);
    if (!budget_.Spend()) return false;
    if (Bound(end) >= result_.makespan) return true;
    const std::vector<int32_t> candidates = ready_;
    for (int32_t i : candidates) {
      const Time start = StartOf(i), finish = start + work_[i];
      const Key key{start, finish, tasks_.topo[i]};
      if (key < last || Barred(i) || Dominated(i, start)) continue;
      const bool more = Append(i, finish, [&] { return Descend(key, std::max(end, finish)); });
      if (!more) return false;
    }
    return true;
  }

  Time Bound(Time end) const {
    Time bound = end;
    for (int32_t i : ready_) bound = std::max(bound, StartOf(i) + tail_[i]);
    for (size_t d = 0; d < available_.size(); ++d)
      bound = std::max(bound, left_[d] > 0 ? available_[d] + left_[d] : 0);
    return bound;
  }

  // Updates of a training step run when all else on their device has. Of several the one whose
  // inputs were there first goes first: no other order ends earlier, and they send nothing. That is
  // left open where inputs come from other devices and links or memory make their times a guess.
  bool Barred(int32_t i) const {
    if (!update_[i]) return false;
    if (others_left_[device_[i]] > 0) return true;
    return sort_updates_ && std::any_of(ready_.begin(), ready_.end(), [&](int32_t k) {
             return device_[k] == device_[i] && std::pair(earliest_[k], tasks_.topo[k]) <
                                                    std::pair(earliest_[i], tasks_.topo[i]);
           });
  }

  // Whether another ready operator fits before this one's start, which an active schedule would
  // use.
  bool Dominated(int32_t i, Time start) const {
    if (!exact_) return false;
    return std::any_of(ready_.begin(), ready_.end(), [&](int32_t k) {
      return k != i && device_[k] == device_[i] && work_[k] > 0 && !Barred(k) &&
             StartOf(k) + work_[k] <= start;
    });
  }

  template <class Body>
  bool Append(int32_t i, Time finish, const Body& body) {
    const int32_t d = device_[i];
    const Time available = available_[d];
    const std::vector<int32_t> ready = ready_;
    std::vector<std::pair<int32_t, Time>> before;
    available_[d] = finish;
    left_[d] -= work_[i];
    others_left_[d] -= 1 - update_[i];
    order_.push_back(i);
    std::erase(ready_, i);
    for (int32_t e = tasks_.out_begin[i]; e < tasks_.out_begin[i + 1]; ++e) {
      const int32_t j = tasks_.edges[e].dst;
      before.emplace_back(j, earliest_[j]);
      earliest_[j] = std::max(earliest_[j], finish + crossing_[e]);
      if (--missing_[j] == 0) ready_.push_back(j);
    }
    const bool more = body();
    for (auto undo = before.rbegin(); undo != before.rend(); ++undo) {
      earliest_[undo->first] = undo->second;
      ++missing_[undo->first];
    }
    ready_ = ready;
    order_.pop_back();
    left_[d] += work_[i];
    others_left_[d] += 1 - update_[i];
    available_[d] = available;
    return more;
  }

  // False when the budget ran out.
  bool Leaf(Time end) {
    if (end >= result_.makespan) return true;
    if (exact_) {
      result_.makespan = end;
      result_.order = order_;
      return true;
    }
    const Time makespan = simulator_.Run(device_, Dispatch::kOrder, order_);
    if (makespan < result_.makespan && Fits()) {
      result_.makespan = makespan;
      result_.order = order_;
      result_.with_host.reset();
    }
    return !offload_ || SearchHost();
  }

  bool Fits() const {
    const MemoryUse memory =
        ReplayMemory(problem_.sizes, tasks_, simulator_.Result(), problem_.cluster.size());
    return Excess(memory.peak, problem_.cluster) == 0;
  }

  // This order with parameters on the host.
  bool SearchHost() {
    FetchSearchResult found = SearchFetches(problem_, device_, order_, result_.makespan, budget_);
    if (found.best) {
      result_.makespan = found.best->schedule.makespan;
      result_.order = order_;
      result_.with_host = std::move(found.best);
    }
    return found.finished;
  }

  const Problem& problem_;
  const TaskGraph& tasks_;
  const std::vector<int32_t>& device_;
  SearchBudget& budget_;
  Simulator simulator_;
  bool exact_;  // what is appended as early as it can is what the devices will do
  bool offload_;
  std::vector<Time> crossing_, work_, tail_;  // of edges, of tasks, from a task's start to the end
  std::vector<int32_t> missing_, ready_, order_;
  std::vector<Time> earliest_, available_, left_;
  std::vector<uint8_t> update_;       // of each task: whether it is one
  std::vector<int32_t> others_left_;  // of each device: tasks that are no updates
  bool sort_updates_ = false;         // one order of them is as good as any other
  OrderSearchResult result_;
};

}  // namespace

bool SearchBudget::Spend() {
  constexpr int64_t kBetweenLooks = 1024;
  if (--nodes < 0) return false;
  if (nodes % kBetweenLooks != 0) return true;
  if (SecondsNow() > deadline) nodes = 0;
  return true;
}

OrderSearchResult SearchOrders(const Problem& problem, const std::vector<int32_t>& device,
                               Time below, SearchBudget& budget, bool offload) {
  return OrderSearch(problem, device, below, budget, offload).Run();
}

}  // namespace orchard::place
