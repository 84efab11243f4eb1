#include "place/list_scheduler.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "place/channels.h"
#include "place/list_memory.h"

namespace orchard::place {
namespace {

// A queue entry: by key, then by place in the topological order. Entries are never changed; one
// that is out of date is noticed when it comes up.
struct Entry {
  int64_t key;
  int32_t topo;
  int32_t task;
  bool operator>(const Entry& other) const {
    return std::tie(key, topo) > std::tie(other.key, other.topo);
  }
};
using Queue = std::priority_queue<Entry, std::vector<Entry>, std::greater<>>;

// Tasks that one device may take: `later` by the time their inputs can be there, `now` those whose
// time has come, by topological index, and `blocked` those that do not fit its memory, by need.
struct Candidates {
  Queue later, now, blocked;
};

class Scheduler {
 public:
  Scheduler(const TaskGraph& tasks, const Cluster& cluster, const ListOptions& options)
      : tasks_(tasks),
        cluster_(cluster),
        options_(options),
        devices_(cluster.size()),
        channels_(tasks, cluster, options.published),
        memory_(tasks, cluster, options),
        grows_(cluster.comm != Comm::kParallel),
        sct_(!options.favourite.empty()),
        inputs_left_(tasks.size()),
        ready_(tasks.size(), 0),
        group_device_(options.group_device),
        ready_of_group_(tasks.groups),
        open_(devices_),
        own_(devices_),
        available_at_(devices_, 0),
        last_(devices_, -1),
        busy_(devices_, 0),
        freed_(devices_, 0) {
    if (group_device_.empty()) group_device_.assign(tasks.groups, -1);
    result_.device.assign(tasks.size(), -1);
    result_.start.assign(tasks.size(), 0);
    result_.end.assign(tasks.size(), 0);
    result_.order.resize(devices_);
    for (int32_t i = 0; i < tasks.size(); ++i) {
      inputs_left_[i] = tasks.in_begin[i + 1] - tasks.in_begin[i];
    }
  }

  Schedule Run() {
    for (int32_t i = 0; i < tasks_.size(); ++i) {
      if (inputs_left_[i] == 0) MakeReady(i);
    }
    for (Time now = 0; now < kNever; now = NextTime(now)) {
      Retire(now);
      while (true) {
        const Proposal best = BestProposal(now);
        if (best.task < 0) break;
        Commit(best.task, best.device);
      }
    }
    for (Time end : result_.end) result_.makespan = std::max(result_.makespan, end);
    result_.peak = memory_.peak();
    return std::move(result_);
  }

 private:
  struct Proposal {
    int32_t task = -1, device = -1;
  };

  int32_t Home(int32_t task) const { return group_device_[tasks_.group[task]]; }
  bool Scheduled(int32_t task) const { return result_.device[task] >= 0; }
  bool Fits(int32_t task, int32_t d) const { return memory_.Fits(task, d, GroupStarted(task)); }
  bool GroupStarted(int32_t task) const { return started_group_[tasks_.group[task]] != 0; }

  // When the inputs of `task` can be on device d, as things stand.
  Time ReadyAt(int32_t task, int32_t d) const {
    Time ready = 0;
    for (int32_t e : tasks_.InEdges(task)) {
      const int32_t h = tasks_.edges[e].src;
      ready = std::max(ready, channels_.Estimate(e, result_.device[h], d, result_.end[h]));
    }
    return ready;
  }
  Time StartAt(int32_t task, int32_t d) const {
    return std::max(ReadyAt(task, d), available_at_[d]);
  }

  // When `task` can start on every device that may take it: its "urgent" time.
  Time Urgent(int32_t task) const {
    Time urgent = -1;
    for (int32_t d = 0; d < devices_; ++d) {
      if (Fits(task, d)) urgent = std::max(urgent, StartAt(task, d));
    }
    return urgent < 0 ? kNever : urgent;
  }

  void MakeReady(int32_t task) {
    ready_[task] = 1;
    ready_of_group_[tasks_.group[task]].push_back(task);
    const int32_t home = Home(task);
    if (home >= 0) {
      own_[home].later.push({ReadyAt(task, home), tasks_.topo[task], task});
      return;
    }
    Time latest = 0;
    for (int32_t d = 0; d < devices_; ++d) {
      const Time ready = ReadyAt(task, d);
      latest = std::max(latest, ready);
      open_[d].later.push({ready, tasks_.topo[task], task});
    }
    if (sct_) anywhere_.later.push({latest, tasks_.topo[task], task});
  }

  // Whether a queue entry still stands for something device d may take from this queue.
  bool Current(const Entry& entry, bool own) const {
    return !Scheduled(entry.task) && (own || Home(entry.task) < 0);
  }

  // The first task of `queue` that device d can start now, or -1. Moves tasks whose time has come
  // from `later` to `now`, back when a channel got busier since, and to `blocked` for want of
  // memory.
  int32_t First(Candidates& queue, bool own, int32_t d, Time now) {
    while (!queue.later.empty() && queue.later.top().key <= now) {
      const Entry entry = queue.later.top();
      queue.later.pop();
      if (Current(entry, own)) queue.now.push({0, entry.topo, entry.task});
    }
    while (!queue.now.empty()) {
      const Entry entry = queue.now.top();
      if (!Current(entry, own)) {
        queue.now.pop();
      } else if (const Time ready = grows_ ? ReadyAt(entry.task, d) : 0; ready > now) {
        queue.now.pop();
        queue.later.push({ready, entry.topo, entry.task});
      } else if (!Fits(entry.task, d)) {
        queue.now.pop();
        Block(queue, entry);
      } else {
        return entry.task;
      }
    }
    return -1;
  }

  void Block(Candidates& queue, const Entry& entry) {
    queue.blocked.push(
        {memory_.Need(entry.task, GroupStarted(entry.task)), entry.topo, entry.task});
  }

  // When the first task of `queue.later` can start on device d.
  Time NextReady(Candidates& queue, bool own, int32_t d) {
    while (!queue.later.empty()) {
      const Entry entry = queue.later.top();
      const Time ready = Current(entry, own) && grows_ ? ReadyAt(entry.task, d) : entry.key;
      if (!Current(entry, own)) {
        queue.later.pop();
      } else if (ready > entry.key) {
        queue.later.pop();
        queue.later.push({ready, entry.topo, entry.task});
      } else if (!Fits(entry.task, d)) {
        queue.later.pop();
        Block(queue, entry);
      } else {
        return ready;
      }
    }
    return kNever;
  }

  void Unblock(Candidates& queue, bool own, int32_t d) {
    while (!queue.blocked.empty() && queue.blocked.top().key <= memory_.Free(d)) {
      const Entry entry = queue.blocked.top();
      queue.blocked.pop();
      if (Current(entry, own)) queue.later.push({ReadyAt(entry.task, d), entry.topo, entry.task});
    }
  }

  // ---- m-SCT ----

  // The favourite child that device d, which is free, waits for; -1: none.
  int32_t AwakeFor(int32_t d) const {
    if (!sct_ || last_[d] < 0) return -1;
    const int32_t f = options_.favourite[last_[d]];
    if (f < 0 || !ready_[f] || Scheduled(f) || Home(f) >= 0 || !Fits(f, d)) return -1;
    const Time here = StartAt(f, d);
    for (int32_t other = 0; other < devices_; ++other) {
      if (other != d && Fits(f, other) && StartAt(f, other) < here) return -1;
    }
    return f;
  }

  // The first open task that could start now on every device.
  int32_t FirstUrgent(int32_t d, Time now) {
    while (!anywhere_.later.empty() && anywhere_.later.top().key <= now) {
      anywhere_.now.push({0, anywhere_.later.top().topo, anywhere_.later.top().task});
      anywhere_.later.pop();
    }
    for (int32_t other = 0; other < devices_; ++other) {
      if (available_at_[other] > now) return -1;
    }
    std::vector<Entry> unfit;
    int32_t found = -1;
    while (found < 0 && !anywhere_.now.empty()) {
      const Entry entry = anywhere_.now.top();
      const Time urgent = Current(entry, false) ? Urgent(entry.task) : 0;
      if (Current(entry, false) && urgent <= now && Fits(entry.task, d)) {
        found = entry.task;
        break;
      }
      anywhere_.now.pop();
      if (!Current(entry, false)) continue;
      if (urgent > now && urgent < kNever) {
        anywhere_.later.push({urgent, entry.topo, entry.task});
      } else {
        unfit.push_back(entry);
      }
    }
    for (const Entry& entry : unfit) anywhere_.now.push(entry);
    return found;
  }

  Time NextUrgent(Time now) {
    while (!anywhere_.later.empty() && !Current(anywhere_.later.top(), false))
      anywhere_.later.pop();
    if (anywhere_.later.empty()) return kNever;
    return std::max(anywhere_.later.top().key, now + 1);
  }

  // ---- time ----

  void Retire(Time now) {
    for (int32_t d = 0; d < devices_; ++d) {
      if (busy_[d] && available_at_[d] <= now) {
        busy_[d] = 0;
        const int32_t i = last_[d];
        for (int32_t e = tasks_.out_begin[i]; e < tasks_.out_begin[i + 1]; ++e) {
          if (--inputs_left_[tasks_.edges[e].dst] == 0) MakeReady(tasks_.edges[e].dst);
        }
      }
      available_at_[d] = std::max(available_at_[d], now);
    }
  }

  int32_t ProposalOf(int32_t d, Time now) {
    const int32_t own = First(own_[d], true, d, now);
    const int32_t favourite = AwakeFor(d);
    int32_t other;
    if (favourite >= 0) {
      other = FirstUrgent(d, now);
      if (other < 0 && own < 0 && StartAt(favourite, d) <= now) return favourite;
    } else {
      other = First(open_[d], false, d, now);
    }
    if (own < 0 || other < 0) return std::max(own, other);
    return tasks_.topo[own] < tasks_.topo[other] ? own : other;
  }

  Proposal BestProposal(Time now) {
    Proposal best;
    for (int32_t d = 0; d < devices_; ++d) {
      if (busy_[d]) continue;
      const int32_t task = ProposalOf(d, now);
      if (task >= 0 && (best.task < 0 || tasks_.topo[task] < tasks_.topo[best.task]))
        best = {task, d};
    }
    return best;
  }

  // All that can start at `now` has: when is something new possible?
  Time NextTime(Time now) {
    Time next = kNever;
    for (int32_t d = 0; d < devices_; ++d) {
      if (busy_[d]) {
        next = std::min(next, available_at_[d]);
        continue;
      }
      Time first = NextReady(own_[d], true, d);
      const int32_t favourite = AwakeFor(d);
      if (favourite >= 0) {
        first = std::min({first, StartAt(favourite, d), NextUrgent(now)});
      } else {
        first = std::min(first, NextReady(open_[d], false, d));
      }
      next = std::min(next, first);
    }
    return next;
  }

  void Commit(int32_t task, int32_t d) {
    const bool group_was_there = GroupStarted(task);
    Time ready = 0;
    for (int32_t e : tasks_.InEdges(task)) {
      const int32_t h = tasks_.edges[e].src;
      ready = std::max(
          ready, channels_.Commit(e, result_.device[h], d, result_.end[h], &result_.transfers));
    }
    result_.device[task] = d;
    result_.start[task] = std::max(available_at_[d], ready);
    result_.end[task] = result_.start[task] + tasks_.WorkOn(cluster_, task, d);
    result_.order[d].push_back(task);
    ++result_.placed;
    available_at_[d] = result_.end[task];
    last_[d] = task;
    busy_[d] = 1;
    if (options_.published && !grows_) SoonerReady(task, d);
    memory_.Place(task, d, group_was_there, result_.device, freed_);
    if (!group_was_there) StartGroup(task, d);
    for (int32_t other = 0; other < devices_; ++other) {
      if (!freed_[other]) continue;
      freed_[other] = 0;
      Unblock(open_[other], false, other);
      Unblock(own_[other], true, other);
    }
  }

  // With merged estimates, a tensor that is now on device d can make other readers of its producer
  // ready sooner there; all other changes only delay, which the queues notice by themselves.
  void SoonerReady(int32_t task, int32_t d) {
    for (int32_t in : tasks_.InEdges(task)) {
      const int32_t h = tasks_.edges[in].src;
      if (result_.device[h] == d) continue;
      for (int32_t e = tasks_.out_begin[h]; e < tasks_.out_begin[h + 1]; ++e) {
        const int32_t j = tasks_.edges[e].dst;
        if (!ready_[j] || Scheduled(j) || tasks_.TensorsOf(e).size() < 2) continue;
        const int32_t home = Home(j);
        if (home >= 0 && home != d) continue;
        (home < 0 ? open_ : own_)[d].later.push({ReadyAt(j, d), tasks_.topo[j], j});
      }
    }
  }

  // The ready tasks of a group are from now on only for device d.
  void StartGroup(int32_t task, int32_t d) {
    const int32_t g = tasks_.group[task];
    started_group_[g] = 1;
    group_device_[g] = d;
    for (int32_t j : ready_of_group_[g]) {
      if (!Scheduled(j)) own_[d].later.push({ReadyAt(j, d), tasks_.topo[j], j});
    }
  }

  const TaskGraph& tasks_;
  const Cluster& cluster_;
  const ListOptions& options_;
  int32_t devices_;
  Channels channels_;
  ListMemory memory_;
  bool grows_;  // estimates grow as channels fill
  bool sct_;

  std::vector<int32_t> inputs_left_;
  std::vector<uint8_t> ready_;
  std::vector<int32_t> group_device_;
  std::vector<uint8_t> started_group_ = std::vector<uint8_t>(tasks_.groups, 0);
  std::vector<std::vector<int32_t>> ready_of_group_;
  std::vector<Candidates> open_, own_;  // per device: of groups without and with a device
  Candidates anywhere_;                 // m-SCT: open tasks by the time they can start anywhere

  std::vector<Time> available_at_;
  std::vector<int32_t> last_;
  std::vector<uint8_t> busy_, freed_;
  Schedule result_;
};

}  // namespace

Schedule ListSchedule(const TaskGraph& tasks, const Cluster& cluster, const ListOptions& options) {
  return Scheduler(tasks, cluster, options).Run();
}

}  // namespace orchard::place
