#include "place/simulate.h"

#include <algorithm>

namespace orchard::place {

Simulator::Simulator(const TaskGraph& tasks, const Cluster& cluster)
    : tasks_(tasks),
      cluster_(cluster),
      devices_(cluster.size()),
      edge_of_use_(tasks.edge_tensors.size()),
      missing_(tasks.size()),
      start_(tasks.size()),
      end_(tasks.size()),
      queue_(devices_),
      ready_(devices_),
      busy_(devices_),
      idle_changed_(devices_),
      transfer_of_(tasks.tensors.size() * devices_, -1),
      next_use_(tasks.edge_tensors.size(), -1),
      waiting_(static_cast<size_t>(devices_) * devices_),
      sending_(devices_),
      receiving_(devices_) {
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    for (int32_t use = tasks.tensor_begin[e]; use < tasks.tensor_begin[e + 1]; ++use)
      edge_of_use_[use] = static_cast<int32_t>(e);
  }
}

void Simulator::Reset() {
  events_.clear();
  for (const Pending& t : transfers_)
    transfer_of_[static_cast<size_t>(t.tensor) * devices_ + t.dst] = -1;
  transfers_.clear();
  for (auto& queue : queue_) queue.clear();
  for (auto& heap : ready_) heap.clear();
  for (auto& heap : waiting_) heap.clear();
  std::fill(busy_.begin(), busy_.end(), 0);
  std::fill(idle_changed_.begin(), idle_changed_.end(), 1);
  std::fill(sending_.begin(), sending_.end(), 0);
  std::fill(receiving_.begin(), receiving_.end(), 0);
  waiting_count_ = done_ = 0;
  for (int32_t i = 0; i < tasks_.size(); ++i) {
    int32_t missing = 0;
    for (int32_t e : tasks_.InEdges(i)) {
      const bool local = device_[tasks_.edges[e].src] == device_[i];
      missing += local ? 1 : tasks_.tensor_begin[e + 1] - tasks_.tensor_begin[e];
    }
    missing_[i] = missing;
  }
}

void Simulator::Push(Time time, int32_t id) {
  events_.push_back({time, id});
  std::push_heap(events_.begin(), events_.end());
}

void Simulator::Arrive(int32_t task, Time now) {
  if (--missing_[task] > 0) return;
  const int32_t d = device_[task];
  idle_changed_[d] = 1;
  if (dispatch_ == Dispatch::kOrder) return;
  auto& heap = ready_[d];
  heap.push_back({dispatch_ == Dispatch::kFifo ? now : priority_[task], tasks_.topo[task], task});
  std::push_heap(heap.begin(), heap.end());
}

void Simulator::Send(int32_t tensor, int32_t use, int32_t src, int32_t dst, Time now) {
  int32_t& slot = transfer_of_[static_cast<size_t>(tensor) * devices_ + dst];
  next_use_[use] = -1;
  if (slot >= 0) {
    next_use_[transfers_[slot].last_use] = use;
    transfers_[slot].last_use = use;
    return;
  }
  slot = static_cast<int32_t>(transfers_.size());
  transfers_.push_back({tensor, src, dst, use, use, tasks_.Cost(cluster_, tensor, src, dst)});
  if (cluster_.comm == Comm::kParallel) {
    transfers_.back().start = now;
    transfers_.back().end = now + transfers_.back().cost;
    Push(transfers_.back().end, -1 - slot);
    return;
  }
  // Uses are numbered along the edges of one producer, so they give the order of its edges.
  auto& heap = waiting_[static_cast<size_t>(src) * devices_ + dst];
  heap.push_back({tasks_.topo[tasks_.edges[edge_of_use_[use]].src], use, slot});
  std::push_heap(heap.begin(), heap.end());
  ++waiting_count_;
}

void Simulator::EndTask(int32_t task, Time now) {
  const int32_t d = device_[task];
  busy_[d] = 0;
  idle_changed_[d] = 1;
  ++done_;
  for (int32_t e = tasks_.out_begin[task]; e < tasks_.out_begin[task + 1]; ++e) {
    const int32_t j = tasks_.edges[e].dst;
    if (device_[j] == d) {
      Arrive(j, now);
      continue;
    }
    for (int32_t use = tasks_.tensor_begin[e]; use < tasks_.tensor_begin[e + 1]; ++use)
      Send(tasks_.edge_tensors[use], use, d, device_[j], now);
  }
}

void Simulator::EndTransfer(int32_t transfer, Time now) {
  const Pending& t = transfers_[transfer];
  sending_[t.src] = 0;
  (cluster_.comm == Comm::kHalf ? sending_ : receiving_)[t.dst] = 0;
  for (int32_t use = t.first_use; use >= 0; use = next_use_[use])
    Arrive(tasks_.edges[edge_of_use_[use]].dst, now);
}

// The task that a free device takes now, or -1.
int32_t Simulator::Next(int32_t device) {
  if (dispatch_ == Dispatch::kOrder) {
    auto& queue = queue_[device];
    if (queue.empty() || missing_[queue.back()] > 0) return -1;
    const int32_t task = queue.back();
    queue.pop_back();
    return task;
  }
  auto& heap = ready_[device];
  if (heap.empty()) return -1;
  std::pop_heap(heap.begin(), heap.end());
  const int32_t id = heap.back().id;
  heap.pop_back();
  return id;
}

void Simulator::StartTasks(Time now) {
  for (int32_t d = 0; d < devices_; ++d) {
    if (busy_[d] || !idle_changed_[d]) continue;
    idle_changed_[d] = 0;
    const int32_t task = Next(d);
    if (task < 0) continue;
    busy_[d] = 1;
    start_[task] = now;
    end_[task] = now + tasks_.WorkOn(cluster_, task, d);
    Push(end_[task], task);
  }
}

void Simulator::StartTransfers(Time now) {
  auto& receiving = cluster_.comm == Comm::kHalf ? sending_ : receiving_;
  while (waiting_count_ > 0) {
    std::vector<Waiting>* best = nullptr;
    for (int32_t s = 0; s < devices_; ++s) {
      if (sending_[s]) continue;
      for (int32_t d = 0; d < devices_; ++d) {
        auto& heap = waiting_[static_cast<size_t>(s) * devices_ + d];
        if (heap.empty() || receiving[d]) continue;
        if (!best || best->front() < heap.front()) best = &heap;
      }
    }
    if (!best) return;
    std::pop_heap(best->begin(), best->end());
    const int32_t id = best->back().id;
    best->pop_back();
    --waiting_count_;
    Pending& t = transfers_[id];
    sending_[t.src] = 1;
    receiving[t.dst] = 1;
    t.start = now;
    t.end = now + t.cost;
    Push(t.end, -1 - id);
  }
}

Time Simulator::Run(std::span<const int32_t> device, Dispatch dispatch,
                    std::span<const int32_t> order, std::span<const int64_t> priority) {
  device_ = device;
  dispatch_ = dispatch;
  priority_ = priority;
  Reset();
  if (dispatch == Dispatch::kOrder) {
    for (auto at = order.rbegin(); at != order.rend(); ++at) queue_[device[*at]].push_back(*at);
  }
  for (int32_t i = 0; i < tasks_.size(); ++i) {
    if (missing_[i] == 0) {
      missing_[i] = 1;
      Arrive(i, 0);
    }
  }
  Time now = 0;
  while (true) {
    StartTasks(now);
    StartTransfers(now);
    if (events_.empty()) break;
    now = events_.front().time;
    while (!events_.empty() && events_.front().time == now) {
      const int32_t id = events_.front().id;
      std::pop_heap(events_.begin(), events_.end());
      events_.pop_back();
      if (id >= 0) {
        EndTask(id, now);
      } else {
        EndTransfer(-1 - id, now);
      }
    }
  }
  if (done_ < tasks_.size()) return kNever;
  Time makespan = 0;
  for (Time end : end_) makespan = std::max(makespan, end);
  return makespan;
}

Schedule Simulator::Result() const {
  Schedule result;
  result.device.assign(device_.begin(), device_.end());
  result.placed = tasks_.size();
  result.start = start_;
  result.end = end_;
  result.order.resize(devices_);
  std::vector<int32_t> by_start(tasks_.size());
  for (int32_t i = 0; i < tasks_.size(); ++i) by_start[i] = i;
  std::sort(by_start.begin(), by_start.end(), [&](int32_t a, int32_t b) {
    if (start_[a] != start_[b]) return start_[a] < start_[b];
    if (end_[a] != end_[b]) return end_[a] < end_[b];
    return tasks_.topo[a] < tasks_.topo[b];
  });
  for (int32_t i : by_start) {
    result.order[device_[i]].push_back(i);
    result.makespan = std::max(result.makespan, end_[i]);
  }
  for (const Pending& t : transfers_)
    result.transfers.push_back({t.tensor, t.src, t.dst, t.start, t.end});
  return result;
}

}  // namespace orchard::place
