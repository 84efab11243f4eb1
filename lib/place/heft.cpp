#include "place/heft.h"

#include <algorithm>
#include <numeric>

#include "place/levels.h"

namespace orchard::place {
namespace {

constexpr int kMaxRestarts = 100;
constexpr int64_t kMaxLooks = 50'000'000;  // at a group that might move: bounds large graphs
constexpr int kMaxMoves = 3;               // of one group

// What one device does when.
class Timeline {
 public:
  // The start of the first gap from `ready` on that holds `work`.
  Time FirstGap(Time ready, Time work) const {
    auto next = std::upper_bound(ends_.begin(), ends_.end(), ready) - ends_.begin();
    Time begin = ready;
    for (; next < static_cast<ptrdiff_t>(starts_.size()); ++next) {
      if (begin + work <= starts_[next]) return begin;
      begin = std::max(begin, ends_[next]);
    }
    return begin;
  }

  void Insert(Time start, Time end, int32_t task) {
    auto at = std::upper_bound(starts_.begin(), starts_.end(), start) - starts_.begin();
    // Behind a task of no length that begins at the same moment, before one that has some.
    while (at > 0 && starts_[at - 1] == start && ends_[at - 1] > end) --at;
    starts_.insert(starts_.begin() + at, start);
    ends_.insert(ends_.begin() + at, end);
    tasks_.insert(tasks_.begin() + at, task);
  }

  const std::vector<int32_t>& tasks() const { return tasks_; }

 private:
  std::vector<Time> starts_, ends_;
  std::vector<int32_t> tasks_;
};

class HeftPlanner {
 public:
  HeftPlanner(const TaskGraph& tasks, const Cluster& cluster, const HeftOptions& options)
      : tasks_(tasks),
        cluster_(cluster),
        lookahead_(options.lookahead),
        group_device_(options.group_device),
        resident_(options.group_resident),
        need_(tasks.groups, 0),
        used_(cluster.size(), 0),
        timelines_(cluster.size()) {
    if (group_device_.empty()) group_device_.assign(tasks.groups, -1);
    pin_ = group_device_;
    reserved_.assign(tasks.groups, -1);
    moves_.assign(tasks.groups, 0);
    started_.assign(tasks.groups, 0);
    const bool own = resident_.empty();
    if (own) resident_.assign(tasks.groups, 0);
    for (int32_t i = 0; i < tasks.size(); ++i) {
      if (own) resident_[tasks.group[i]] += tasks.perm[i];
      need_[tasks.group[i]] = std::max(need_[tasks.group[i]], tasks.temp[i] + tasks.out[i]);
    }
    const double n = cluster.size();
    const double communication = options.communication >= 0 ? options.communication : (n - 1) / n;
    rank_ = PathLevels(tasks, cluster, tasks.MeanWork(cluster), communication).bottom;
    result_.device.assign(tasks.size(), -1);
    result_.start.assign(tasks.size(), 0);
    result_.end.assign(tasks.size(), 0);
  }

  Schedule Run() {
    std::vector<int32_t> order(tasks_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return rank_[a] != rank_[b] ? rank_[a] > rank_[b] : tasks_.topo[a] < tasks_.topo[b];
    });
    // Where a group fits nowhere, others make room for it, and all begins again.
    const int64_t groups = std::max(1, tasks_.groups);
    int64_t evictions = std::min(3 * groups, kMaxLooks / groups);
    for (int restart = 0; const int32_t refused = PlaceAll(order); ++restart) {
      if (restart == kMaxRestarts || !MakeRoom(tasks_.group[refused - 1], evictions))
        return std::move(result_);
      Restart();
    }
    for (const Timeline& timeline : timelines_) result_.order.push_back(timeline.tasks());
    for (Time end : result_.end) result_.makespan = std::max(result_.makespan, end);
    return std::move(result_);
  }

 private:
  // 0, or 1 + the task that no device has room for.
  int32_t PlaceAll(const std::vector<int32_t>& order) {
    for (int32_t i : order) {
      const int32_t d = Choose(i);
      if (d < 0) return i + 1;
      Place(i, d);
    }
    return 0;
  }

  void Restart() {
    group_device_ = pin_;
    std::fill(started_.begin(), started_.end(), 0);
    std::fill(used_.begin(), used_.end(), 0);
    for (int32_t g = 0; g < tasks_.groups; ++g) {
      if (reserved_[g] < 0) continue;
      group_device_[g] = reserved_[g];
      used_[reserved_[g]] += resident_[g];
      started_[g] = 1;  // as far as memory goes
    }
    std::fill(timelines_.begin(), timelines_.end(), Timeline());
    std::fill(result_.device.begin(), result_.device.end(), -1);
    result_.placed = 0;
  }

  bool Fits(int32_t g, int32_t d) const {
    return used_[d] + resident_[g] + need_[g] <= cluster_.devices[d].memory;
  }

  // Moves groups off the fullest devices until `refused` fits one; false when that cannot be done.
  // What was moved, and `refused`, keep their places from then on.
  bool MakeRoom(int32_t refused, int64_t& evictions) {
    if (reserved_[refused] >= 0) return false;  // its own device has no room for what runs
    while (evictions-- > 0) {
      for (int32_t d = 0; d < cluster_.size(); ++d) {
        if ((pin_[refused] >= 0 && pin_[refused] != d) || !Fits(refused, d)) continue;
        reserved_[refused] = d;
        return true;
      }
      if (!EvictOne()) return false;
    }
    return false;
  }

  // The group whose move off the fullest device that has one costs least per byte.
  bool EvictOne() {
    std::vector<int32_t> fullest(cluster_.size());
    std::iota(fullest.begin(), fullest.end(), 0);
    const auto part = [&](int32_t d) {
      return static_cast<double>(used_[d]) /
             static_cast<double>(std::max<int64_t>(1, cluster_.devices[d].memory));
    };
    std::stable_sort(fullest.begin(), fullest.end(),
                     [&](int32_t a, int32_t b) { return part(a) > part(b); });
    if (tasks_of_.empty()) tasks_of_ = tasks_.TasksOfGroups();
    for (int32_t from : fullest) {
      int32_t best = -1, best_to = -1;
      double best_price = 0;
      for (int32_t g = 0; g < tasks_.groups; ++g) {
        if (!started_[g] || group_device_[g] != from || pin_[g] >= 0 || resident_[g] == 0 ||
            moves_[g] == kMaxMoves)
          continue;
        for (int32_t to = 0; to < cluster_.size(); ++to) {
          if (to == from || !Fits(g, to)) continue;
          const double price = Penalty(g, from, to) / static_cast<double>(resident_[g]);
          if (best >= 0 && price >= best_price) continue;
          best = g;
          best_to = to;
          best_price = price;
        }
      }
      if (best < 0) continue;
      ++moves_[best];
      used_[from] -= resident_[best];
      used_[best_to] += resident_[best];
      group_device_[best] = reserved_[best] = best_to;
      return true;
    }
    return false;
  }

  // What the makespan may grow by at most when a group moves: transfers that come, less those that
  // go, and the difference in compute.
  double Penalty(int32_t g, int32_t from, int32_t to) const {
    double penalty = 0;
    const auto edge = [&](int32_t e, int32_t other) {
      const int32_t h = tasks_.group[other];
      if (h == g || !started_[h]) return;
      const auto cost = static_cast<double>(EdgeCost(tasks_, cluster_, e));
      if (group_device_[h] == from) penalty += cost;
      if (group_device_[h] == to) penalty -= cost;
    };
    for (int32_t i : tasks_of_[g]) {
      penalty += static_cast<double>(Work(i, to) - Work(i, from));
      for (int32_t e : tasks_.InEdges(i)) edge(e, tasks_.edges[e].src);
      for (int32_t e = tasks_.out_begin[i]; e < tasks_.out_begin[i + 1]; ++e)
        edge(e, tasks_.edges[e].dst);
    }
    return std::max(0.0, penalty);
  }

  bool Allowed(int32_t task, int32_t d) const {
    const int32_t g = tasks_.group[task];
    if (group_device_[g] >= 0 && group_device_[g] != d) return false;
    return started_[g] || Fits(g, d);
  }

  Time ReadyAt(int32_t task, int32_t d) const {
    Time ready = 0;
    for (int32_t e : tasks_.InEdges(task)) {
      const int32_t h = tasks_.edges[e].src;
      if (result_.device[h] >= 0)
        ready = std::max(ready, Arrival(e, result_.device[h], d, result_.end[h]));
    }
    return ready;
  }

  Time Arrival(int32_t e, int32_t src, int32_t dst, Time end) const {
    if (src == dst) return end;
    Time cost = 0;
    for (int32_t t : tasks_.TensorsOf(e)) {
      const Time tensor = tasks_.Cost(cluster_, t, src, dst);
      cost = cluster_.comm == Comm::kParallel ? std::max(cost, tensor) : cost + tensor;
    }
    return end + cost;
  }

  Time Work(int32_t task, int32_t d) const { return tasks_.WorkOn(cluster_, task, d); }

  Time FinishAt(int32_t task, int32_t d) const {
    const Time work = Work(task, d);
    return timelines_[d].FirstGap(ReadyAt(task, d), work) + work;
  }

  int32_t Choose(int32_t task) const {
    int32_t best = -1;
    Time best_finish = kNever, best_child = kNever;
    const int32_t child_edge = lookahead_ ? LongestEdge(task) : -1;
    for (int32_t d = 0; d < cluster_.size(); ++d) {
      if (!Allowed(task, d)) continue;
      const Time finish = FinishAt(task, d);
      const Time child = child_edge >= 0 ? ChildFinish(child_edge, d, finish) : finish;
      if (child < best_child || (child == best_child && finish < best_finish)) {
        best = d;
        best_child = child;
        best_finish = finish;
      }
    }
    return best;
  }

  int32_t LongestEdge(int32_t task) const {
    int32_t best = -1;
    for (int32_t e = tasks_.out_begin[task]; e < tasks_.out_begin[task + 1]; ++e) {
      if (best < 0 || rank_[tasks_.edges[e].dst] > rank_[tasks_.edges[best].dst]) best = e;
    }
    return best;
  }

  // Earliest end of the child at the end of `edge`, if its producer ends at `finish` on `src`.
  Time ChildFinish(int32_t edge, int32_t src, Time finish) const {
    const int32_t child = tasks_.edges[edge].dst;
    Time best = kNever;
    for (int32_t d = 0; d < cluster_.size(); ++d) {
      const bool same_group = tasks_.group[child] == tasks_.group[tasks_.edges[edge].src];
      if (same_group ? d != src : !Allowed(child, d)) continue;
      const Time ready = std::max(ReadyAt(child, d), Arrival(edge, src, d, finish));
      const Time work = Work(child, d);
      best = std::min(best, timelines_[d].FirstGap(ready, work) + work);
    }
    return best;
  }

  void Place(int32_t task, int32_t d) {
    const int32_t g = tasks_.group[task];
    if (!started_[g]) used_[d] += resident_[g];
    started_[g] = 1;
    group_device_[g] = d;
    const Time work = Work(task, d);
    const Time start = timelines_[d].FirstGap(ReadyAt(task, d), work);
    timelines_[d].Insert(start, start + work, task);
    result_.device[task] = d;
    result_.start[task] = start;
    result_.end[task] = start + work;
    ++result_.placed;
  }

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  bool lookahead_;
  std::vector<int32_t> group_device_;
  std::vector<int32_t> pin_;       // as asked for
  std::vector<int32_t> reserved_;  // device of groups that eviction decided on, or -1
  std::vector<int32_t> moves_;
  std::vector<std::vector<int32_t>> tasks_of_;  // filled when needed
  std::vector<uint8_t> started_;
  std::vector<int64_t> resident_, need_, used_;
  std::vector<Time> rank_;
  std::vector<Timeline> timelines_;
  Schedule result_;
};

}  // namespace

Schedule Heft(const TaskGraph& tasks, const Cluster& cluster, const HeftOptions& options) {
  return HeftPlanner(tasks, cluster, options).Run();
}

}  // namespace orchard::place
