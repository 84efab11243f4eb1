// One candidate plan with exclusive links (Comm::kDuplex, Comm::kHalf), event by event: what the
// CUDA kernel (cuda/place) and its CPU twin (place/batch_simulate.cpp) both run. C++17.
//
// It is Simulator with Dispatch::kOrder: at every moment devices that are free take the next
// operator of their order if its inputs are there, then of the waiting transfers whose two channels
// are free the one with the smallest number starts, and so on. Uses are numbered by the topological
// index of their producer and then by its edges, so that a transfer's first use is its place in
// that order.
#pragma once

#include <cstdint>

#include "place/batch_element.h"
#include "place/batch_simulate.h"

namespace orchard::place {

// Arrays of one candidate, entries kBatchLanes apart.
struct LinkLane {
  const int32_t* order;   // [ops], shared by the block: entries one apart
  const uint8_t* device;  // [ops]
  int32_t* missing;       // [ops] uses that are not there yet
  int32_t* waiting;       // [uses] first uses of the transfers that wait
  uint32_t* sent;         // [tensors] a bit for every device that got a transfer
};

template <class T>
class LinkSimulation {
 public:
  ORCHARD_HD LinkSimulation(const BatchArgs& a, const BatchLinks& l, const LinkLane& lane)
      : a_(a), l_(l), lane_(lane) {}

  ORCHARD_HD int64_t Run() {
    for (int32_t i = 0; i < a_.ops; ++i) lane_.missing[At(i)] = l_.inputs[i];
    for (int32_t t = 0; t < l_.tensors; ++t) lane_.sent[At(t)] = 0;
    for (int32_t d = 0; d < a_.devices; ++d) {
      cursor_[d] = Next(d, 0);
      task_end_[d] = transfer_end_[d] = kNone;
    }
    T now = 0;
    while (true) {
      StartTasks(now);
      if (changed_) StartTransfers(now);
      T next = kNone;
      for (int32_t d = 0; d < a_.devices; ++d) {
        if (task_end_[d] < next) next = task_end_[d];
        if (transfer_end_[d] < next) next = transfer_end_[d];
      }
      if (next == kNone) return now;
      now = next;
      for (int32_t d = 0; d < a_.devices; ++d) {
        if (task_end_[d] == now) EndTask(d);
      }
      for (int32_t d = 0; d < a_.devices; ++d) {
        if (transfer_end_[d] == now) EndTransfer(d);
      }
    }
  }

 private:
  // No time is as late: BatchGraph takes wide times where one could be.
  static constexpr T kNone = sizeof(T) == 4 ? static_cast<T>(INT32_MAX) : static_cast<T>(INT64_MAX);

  ORCHARD_HD static int64_t At(int32_t index) { return static_cast<int64_t>(index) * kBatchLanes; }
  ORCHARD_HD int32_t DeviceOf(int32_t op) const { return lane_.device[At(op)]; }

  // The first position from `position` on whose operator is on device d, or ops.
  ORCHARD_HD int32_t Next(int32_t d, int32_t position) const {
    while (position < a_.ops && DeviceOf(lane_.order[position]) != d) ++position;
    return position;
  }

  ORCHARD_HD void StartTasks(T now) {
    const T* work = static_cast<const T*>(a_.work);
    for (int32_t d = 0; d < a_.devices; ++d) {
      if (task_end_[d] != kNone || cursor_[d] >= a_.ops) continue;
      const int32_t i = lane_.order[cursor_[d]];
      if (lane_.missing[At(i)] > 0) continue;
      const int64_t of_op = static_cast<int64_t>(i) * a_.work_devices;
      task_end_[d] = now + work[of_op + (a_.work_devices == 1 ? 0 : d)];
      running_[d] = i;
      cursor_[d] = Next(d, cursor_[d] + 1);
    }
  }

  ORCHARD_HD void StartTransfers(T now) {
    changed_ = false;
    const T* cost = static_cast<const T*>(l_.cost);
    while (waiting_ > 0) {
      int32_t least = INT32_MAX, slot = -1;
      const uint32_t receiving = l_.half ? send_busy_ : receive_busy_;
      for (int32_t k = 0; k < waiting_; ++k) {
        const int32_t use = lane_.waiting[At(k)];
        if (use >= least || (send_busy_ >> DeviceOf(l_.producer[use]) & 1u) != 0 ||
            (receiving >> DeviceOf(l_.reader[use]) & 1u) != 0)
          continue;
        least = use;
        slot = k;
      }
      if (slot < 0) return;
      lane_.waiting[At(slot)] = lane_.waiting[At(--waiting_)];
      const int32_t src = DeviceOf(l_.producer[least]), dst = DeviceOf(l_.reader[least]);
      send_busy_ |= 1u << src;
      (l_.half ? send_busy_ : receive_busy_) |= 1u << dst;
      sending_[src] = least;
      transfer_end_[src] =
          now +
          cost[static_cast<int64_t>(least) * a_.links + LinkIndex(a_.links, a_.devices, src, dst)];
    }
  }

  ORCHARD_HD void EndTask(int32_t d) {
    const int32_t i = running_[d];
    task_end_[d] = kNone;
    for (int32_t u = l_.use_begin[i]; u < l_.use_end[i]; ++u) {
      const int32_t j = l_.reader[u], to = DeviceOf(j);
      if (to == d) {
        --lane_.missing[At(j)];
        continue;
      }
      uint32_t& sent = lane_.sent[At(l_.tensor[u])];
      if ((sent >> to & 1u) != 0) continue;
      sent |= 1u << to;
      lane_.waiting[At(waiting_++)] = u;
      changed_ = true;
    }
  }

  ORCHARD_HD void EndTransfer(int32_t src) {
    const int32_t first = sending_[src], dst = DeviceOf(l_.reader[first]);
    transfer_end_[src] = kNone;
    send_busy_ &= ~(1u << src);
    (l_.half ? send_busy_ : receive_busy_) &= ~(1u << dst);
    changed_ = true;
    // All uses of the tensor on that device: none of them comes before the first.
    for (int32_t u = first; u < l_.use_end[l_.producer[first]]; ++u) {
      const int32_t j = l_.reader[u];
      if (l_.tensor[u] == l_.tensor[first] && DeviceOf(j) == dst) --lane_.missing[At(j)];
    }
  }

  const BatchArgs& a_;
  const BatchLinks& l_;
  const LinkLane lane_;
  int32_t cursor_[kMaxBatchDevices], running_[kMaxBatchDevices], sending_[kMaxBatchDevices];
  T task_end_[kMaxBatchDevices], transfer_end_[kMaxBatchDevices];
  uint32_t send_busy_ = 0, receive_busy_ = 0;
  int32_t waiting_ = 0;
  bool changed_ = false;
};

}  // namespace orchard::place
