#include "place/heft.h"

#include <algorithm>
#include <numeric>

#include "place/levels.h"

namespace orchard::place {
namespace {

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
    for (int32_t i : order) {
      const int32_t d = Choose(i);
      if (d < 0) return std::move(result_);
      Place(i, d);
    }
    for (const Timeline& timeline : timelines_) result_.order.push_back(timeline.tasks());
    for (Time end : result_.end) result_.makespan = std::max(result_.makespan, end);
    return std::move(result_);
  }

 private:
  bool Allowed(int32_t task, int32_t d) const {
    const int32_t g = tasks_.group[task];
    if (group_device_[g] >= 0 && group_device_[g] != d) return false;
    return started_[g] || used_[d] + resident_[g] + need_[g] <= cluster_.devices[d].memory;
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
