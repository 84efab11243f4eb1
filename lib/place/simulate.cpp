#include "place/simulate.h"

#include <algorithm>
#include <numeric>

#include "place/levels.h"

namespace orchard::place {

Simulator::Simulator(const TaskGraph& tasks, const Cluster& cluster)
    : tasks_(tasks),
      cluster_(cluster),
      devices_(cluster.size()),
      alike_(cluster.links.empty()),
      inputs_(tasks.size(), 0),
      work_devices_(cluster.uniform() && tasks.work_on.empty() ? 1 : devices_),
      missing_(tasks.size()),
      start_(tasks.size()),
      end_(tasks.size()),
      queue_(devices_),
      next_(tasks.size()),
      look_(devices_),
      running_(devices_),
      ran_(tasks.size()),
      task_end_(devices_),
      left_(devices_),
      tail_(tasks.size(), 0),
      sending_(devices_),
      transfer_end_(devices_),
      send_busy_(devices_),
      receive_busy_(devices_) {
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    for (int32_t t : tasks.TensorsOf(static_cast<int32_t>(e))) {
      const int32_t j = tasks.edges[e].dst;
      uses_.push_back({j, t, alike_ ? tasks.Cost(cluster, t, 0, 1) : 0});
      ++inputs_[j];
    }
  }
  for (int32_t e : tasks.out_begin) use_begin_.push_back(tasks.tensor_begin[e]);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    for (int32_t d = 0; d < work_devices_; ++d) work_.push_back(tasks.WorkOn(cluster, i, d));
  }
  backwards_ = TopologicalTasks(tasks);
  std::reverse(backwards_.begin(), backwards_.end());
  if (cluster.comm == Comm::kParallel) {
    there_.resize(tasks.size());
  } else {
    transfer_of_.assign(tasks.tensors.size() * devices_, -1);
    next_use_.resize(uses_.size());
    waiting_.resize(static_cast<size_t>(devices_) * devices_);
    first_.resize(waiting_.size());
  }
}

void Simulator::Reset() {
  std::copy(inputs_.begin(), inputs_.end(), missing_.begin());
  if (host_) {
    for (const auto& fetches : host_plan_->fetches) {
      for (const Fetch& fetch : fetches) {
        for (int32_t reader : fetch.readers) ++missing_[reader];
      }
    }
  }
  ran_count_ = 0;
  std::fill(look_.begin(), look_.end(), 1);
  std::fill(task_end_.begin(), task_end_.end(), kNever);
  std::fill(queue_.begin(), queue_.end(), Queue{-1, -1, -1, -1});
  for (RankSet& set : ready_) set.Clear();
  std::fill(there_.begin(), there_.end(), 0);
  coming_.clear();
  for (const Pending& t : transfers_)
    transfer_of_[static_cast<size_t>(t.tensor) * devices_ + t.dst] = -1;
  transfers_.clear();
  for (auto& heap : waiting_) heap.clear();
  std::fill(first_.begin(), first_.end(), kNoKey);
  std::fill(transfer_end_.begin(), transfer_end_.end(), kNever);
  std::fill(send_busy_.begin(), send_busy_.end(), 0);
  std::fill(receive_busy_.begin(), receive_busy_.end(), 0);
  channels_changed_ = false;
  waiting_count_ = done_ = 0;
}

// Ranks of the tasks by (priority, topological index), unless they are known.
void Simulator::Rank(std::span<const int64_t> priority) {
  if (std::equal(priority.begin(), priority.end(), ranked_.begin(), ranked_.end())) return;
  ranked_.assign(priority.begin(), priority.end());
  of_rank_.resize(tasks_.size());
  rank_.resize(tasks_.size());
  std::iota(of_rank_.begin(), of_rank_.end(), 0);
  std::sort(of_rank_.begin(), of_rank_.end(), [&](int32_t a, int32_t b) {
    return priority[a] != priority[b] ? priority[a] < priority[b] : tasks_.topo[a] < tasks_.topo[b];
  });
  for (int32_t r = 0; r < tasks_.size(); ++r) rank_[of_rank_[r]] = r;
}

void Simulator::SetRanks(std::span<const int32_t> rank) {
  ranked_.clear();
  rank_.assign(rank.begin(), rank.end());
  of_rank_.resize(rank.size());
  for (int32_t i = 0; i < tasks_.size(); ++i) of_rank_[rank[i]] = i;
}

void Simulator::SwapRanks(int32_t task, int32_t other) {
  ranked_.clear();
  std::swap(rank_[task], rank_[other]);
  std::swap(of_rank_[rank_[task]], of_rank_[rank_[other]]);
}

// The queues of kOrder, all at the beginning.
void Simulator::Chain(std::span<const int32_t> order) {
  for (int32_t task : order) {
    Queue& queue = queue_[device_[task]];
    next_[task] = -1;
    (queue.head < 0 ? queue.head : next_[queue.tail]) = task;
    queue.tail = task;
  }
}

// `task` has become ready now: behind all others, but in topological order among those of now.
void Simulator::Enqueue(Queue& queue, int32_t task, Time now) {
  if (queue.head < 0) {
    queue = {task, task, -1, now};
    next_[task] = -1;
    return;
  }
  if (queue.time != now) {
    queue.before = queue.tail;
    queue.time = now;
  } else if (tasks_.topo[queue.tail] > tasks_.topo[task]) {
    int32_t last = queue.before;
    while (true) {
      const int32_t at = last < 0 ? queue.head : next_[last];
      if (tasks_.topo[at] > tasks_.topo[task]) {
        next_[task] = at;
        (last < 0 ? queue.head : next_[last]) = task;
        return;
      }
      last = at;
    }
  }
  next_[queue.tail] = task;
  next_[task] = -1;
  queue.tail = task;
}

void Simulator::Ready(int32_t task, Time now) {
  const int32_t d = device_[task];
  if (host_ && host_->OnHost(task)) return host_->UpdateReady(task, now);
  look_[d] = 1;
  if (dispatch_ == Dispatch::kFifo) {
    Enqueue(queue_[d], task, now);
  } else if (dispatch_ == Dispatch::kPriority) {
    ready_[d].Insert(rank_[task]);
  }
}

void Simulator::Send(int32_t use, int32_t src, int32_t dst) {
  int32_t& slot = transfer_of_[static_cast<size_t>(uses_[use].tensor) * devices_ + dst];
  next_use_[use] = -1;
  if (slot >= 0) {
    next_use_[transfers_[slot].last_use] = use;
    transfers_[slot].last_use = use;
    return;
  }
  slot = static_cast<int32_t>(transfers_.size());
  transfers_.push_back(
      {uses_[use].tensor, src, dst, use, use, Cost(uses_[use], src, dst), kNever, kNever});
  // Uses are numbered along the edges of one producer, so they give the order of its edges.
  const int32_t producer = tasks_.tensors[uses_[use].tensor].producer;
  const size_t pair = static_cast<size_t>(src) * devices_ + dst;
  auto& heap = waiting_[pair];
  heap.push_back({static_cast<int64_t>(tasks_.topo[producer]) << 32 | use, slot});
  std::push_heap(heap.begin(), heap.end());
  first_[pair] = heap.front().key;
  ++waiting_count_;
  channels_changed_ = true;
}

template <bool kShared>
void Simulator::EndTask(int32_t task, Time now) {
  const int32_t d = device_[task];
  task_end_[d] = kNever;
  look_[d] = 1;
  ++done_;
  if (host_) host_->TaskEnded(task);
  for (int32_t u = use_begin_[task]; u < use_begin_[task + 1]; ++u) {
    const Use& use = uses_[u];
    const int32_t j = use.task, to = device_[j];
    if constexpr (kShared) {
      if (to != d) {
        Send(u, d, to);
      } else if (--missing_[j] == 0) {
        Ready(j, now);
      }
    } else {
      Time& there = there_[j];
      there = std::max(there, to == d ? now : now + Cost(use, d, to));
      if (--missing_[j] > 0) continue;
      if (there == now) {
        Ready(j, now);
      } else {
        coming_.push_back({there, j});
        std::push_heap(coming_.begin(), coming_.end());
      }
    }
  }
}

void Simulator::EndTransfer(int32_t src, Time now) {
  const Pending& t = transfers_[sending_[src]];
  transfer_end_[src] = kNever;
  send_busy_[src] = 0;
  (cluster_.comm == Comm::kHalf ? send_busy_ : receive_busy_)[t.dst] = 0;
  channels_changed_ = true;
  for (int32_t use = t.first_use; use >= 0; use = next_use_[use]) {
    if (--missing_[uses_[use].task] == 0) Ready(uses_[use].task, now);
  }
}

void Simulator::EndHost(Time now) {
  host_->End(
      now,
      [&](int32_t reader) {
        const Time there = there_.empty() ? now : there_[reader] = std::max(there_[reader], now);
        if (--missing_[reader] > 0) return;
        if (there == now) return Ready(reader, now);
        coming_.push_back({there, reader});
        std::push_heap(coming_.begin(), coming_.end());
      },
      [&](int32_t update, Time start) {
        start_[update] = start;
        end_[update] = now;
        ++done_;
      });
}

// The task that a free device takes now, or -1.
int32_t Simulator::Next(int32_t device, Time now) {
  if (dispatch_ == Dispatch::kPriority)
    return ready_[device].empty() ? -1 : of_rank_[ready_[device].Take()];
  Queue& queue = queue_[device];
  const int32_t task = queue.head;
  if (task < 0 || missing_[task] > 0) return -1;
  if (!there_.empty() && there_[task] > now) return -1;
  queue.head = next_[task];
  if (queue.before == task) queue.before = -1;
  return task;
}

// False when the makespan must exceed the limit.
bool Simulator::StartTasks(Time now, Time limit) {
  for (int32_t d = 0; d < devices_; ++d) {
    if (!look_[d] || task_end_[d] != kNever) continue;
    look_[d] = 0;
    const int32_t task = Next(d, now);
    if (task < 0) continue;
    const Time work = WorkOf(task, d);
    start_[task] = now;
    end_[task] = now + work;
    task_end_[d] = now + work;
    running_[d] = task;
    ran_[ran_count_++] = task;
    if (now + left_[d] > limit || now + tail_[task] > limit) return false;
    left_[d] -= work;
  }
  return true;
}

void Simulator::StartTransfers(Time now) {
  auto& receive_busy = cluster_.comm == Comm::kHalf ? send_busy_ : receive_busy_;
  channels_changed_ = false;
  while (waiting_count_ > 0) {
    int64_t least = kNoKey;
    size_t pair = 0;
    for (int32_t s = 0; s < devices_; ++s) {
      if (send_busy_[s]) continue;
      const int64_t* first = first_.data() + static_cast<size_t>(s) * devices_;
      for (int32_t d = 0; d < devices_; ++d) {
        if (first[d] >= least || receive_busy[d]) continue;
        least = first[d];
        pair = static_cast<size_t>(s) * devices_ + d;
      }
    }
    if (least == kNoKey) return;
    auto& heap = waiting_[pair];
    std::pop_heap(heap.begin(), heap.end());
    const int32_t id = heap.back().transfer;
    heap.pop_back();
    first_[pair] = heap.empty() ? kNoKey : heap.front().key;
    --waiting_count_;
    Pending& t = transfers_[id];
    send_busy_[t.src] = 1;
    receive_busy[t.dst] = 1;
    t.start = now;
    t.end = now + t.cost;
    sending_[t.src] = id;
    transfer_end_[t.src] = t.end;
  }
}

template <bool kShared>
Time Simulator::Loop(Time limit) {
  Time now = 0;
  while (true) {
    if (!StartTasks(now, limit)) return kNever;
    if (kShared && channels_changed_) StartTransfers(now);
    if (host_) host_->Start(now);
    Time next = *std::min_element(task_end_.begin(), task_end_.end());
    if constexpr (kShared) {
      next = std::min(next, *std::min_element(transfer_end_.begin(), transfer_end_.end()));
    } else if (!coming_.empty()) {
      next = std::min(next, coming_.front().time);
    }
    if (host_) next = std::min(next, host_->NextEnd());
    if (next == kNever) break;
    now = next;
    for (int32_t d = 0; d < devices_; ++d) {
      if (task_end_[d] == now) EndTask<kShared>(running_[d], now);
    }
    if constexpr (kShared) {
      for (int32_t s = 0; s < devices_; ++s) {
        if (transfer_end_[s] == now) EndTransfer(s, now);
      }
    } else {
      while (!coming_.empty() && coming_.front().time == now) {
        const int32_t task = coming_.front().task;
        std::pop_heap(coming_.begin(), coming_.end());
        coming_.pop_back();
        Ready(task, now);
      }
    }
    if (host_) EndHost(now);
  }
  return done_ < tasks_.size() ? kNever : now;
}

// What each device has to do, and the least time from each task's start to the end of all, with the
// transfers that the placement makes. False when that alone exceeds the limit.
bool Simulator::Tails(Time limit) {
  Time longest = 0;
  for (auto at = backwards_.begin(); at != backwards_.end(); ++at) {
    const int32_t i = *at, d = device_[i];
    const Time work = WorkOf(i, d);
    left_[d] += work;
    Time rest = 0;
    for (int32_t u = use_begin_[i]; u < use_begin_[i + 1]; ++u) {
      const Use& use = uses_[u];
      const int32_t to = device_[use.task];
      rest = std::max(rest, tail_[use.task] + (to == d ? 0 : Cost(use, d, to)));
    }
    tail_[i] = work + rest;
    longest = std::max(longest, tail_[i]);
  }
  return longest <= limit && *std::max_element(left_.begin(), left_.end()) <= limit;
}

Time Simulator::Run(std::span<const int32_t> device, Dispatch dispatch,
                    std::span<const int32_t> order, std::span<const int64_t> priority, Time limit) {
  host_.reset();
  return Simulate(device, dispatch, order, priority, limit);
}

Time Simulator::Simulate(std::span<const int32_t> device, Dispatch dispatch,
                         std::span<const int32_t> order, std::span<const int64_t> priority,
                         Time limit) {
  device_ = device;
  dispatch_ = dispatch;
  if (dispatch == Dispatch::kPriority) {
    if (ready_.empty()) ready_.assign(devices_, RankSet(tasks_.size()));
    if (!priority.empty()) Rank(priority);
  }
  Reset();
  if (dispatch == Dispatch::kOrder) Chain(order);
  std::fill(left_.begin(), left_.end(), 0);
  if (limit < kNever && !Tails(limit)) return kNever;
  for (int32_t i = 0; i < tasks_.size(); ++i) {
    if (missing_[i] == 0) Ready(i, 0);
  }
  return cluster_.comm == Comm::kParallel ? Loop<false>(limit) : Loop<true>(limit);
}

Time Simulator::RunWithHost(std::span<const int32_t> device, std::span<const int32_t> order,
                            const Graph& graph, std::shared_ptr<const HostPlan> host) {
  host_plan_ = std::move(host);
  host_.emplace(*host_plan_, graph, tasks_, cluster_, device);
  return Simulate(device, Dispatch::kOrder, order, {}, kNever);
}

Schedule Simulator::Result(bool with_order) const {
  Schedule result;
  result.device.assign(device_.begin(), device_.end());
  result.placed = tasks_.size();
  result.start = start_;
  result.end = end_;
  result.order.resize(devices_);
  std::vector<int32_t> by_start(tasks_.size());
  std::iota(by_start.begin(), by_start.end(), 0);
  if (with_order) {
    std::sort(by_start.begin(), by_start.end(), [&](int32_t a, int32_t b) {
      if (start_[a] != start_[b]) return start_[a] < start_[b];
      if (end_[a] != end_[b]) return end_[a] < end_[b];
      return tasks_.topo[a] < tasks_.topo[b];
    });
    // Not by start: tasks without duration share theirs, and which of them comes first tells when
    // others may run and what is sent first.
    for (int32_t k = 0; k < ran_count_; ++k) result.order[device_[ran_[k]]].push_back(ran_[k]);
  }
  for (Time end : end_) result.makespan = std::max(result.makespan, end);
  for (const Pending& t : transfers_)
    result.transfers.push_back({t.tensor, t.src, t.dst, t.start, t.end});
  if (cluster_.comm == Comm::kParallel) ParallelTransfers(by_start, result.transfers);
  if (host_) {
    result.host = host_plan_;
    result.fetches = host_->fetches();
    result.write_backs = host_->write_backs();
  }
  return result;
}

// With parallel links nothing need be remembered: every tensor leaves when its task ends.
void Simulator::ParallelTransfers(const std::vector<int32_t>& tasks,
                                  std::vector<Transfer>& transfers) const {
  std::vector<uint8_t> sent(tasks_.tensors.size() * devices_, 0);
  for (int32_t i : tasks) {
    for (int32_t u = use_begin_[i]; u < use_begin_[i + 1]; ++u) {
      const Use& use = uses_[u];
      const int32_t src = device_[i], dst = device_[use.task];
      uint8_t& known = sent[static_cast<size_t>(use.tensor) * devices_ + dst];
      if (src == dst || known) continue;
      known = 1;
      transfers.push_back({use.tensor, src, dst, end_[i], end_[i] + Cost(use, src, dst)});
    }
  }
}

}  // namespace orchard::place
