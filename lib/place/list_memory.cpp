#include "place/list_memory.h"

#include <algorithm>

namespace orchard::place {

ListMemory::ListMemory(const TaskGraph& tasks, const Cluster& cluster, const ListOptions& options)
    : tasks_(tasks),
      model_(options.memory),
      used_(cluster.size(), 0),
      peak_(cluster.size(), 0),
      group_need_(tasks.groups, 0),
      resident_(tasks.groups, 0),
      reserved_(tasks.groups, 0),
      group_left_(tasks.groups, 0),
      readers_left_(tasks.size()),
      torch_(options.torch) {
  for (const Device& device : cluster.devices) limit_.push_back(device.memory);
  std::vector<int64_t> perm(tasks.groups, 0), temp(tasks.groups, 0), out(tasks.groups, 0),
      both(tasks.groups, 0);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    const int32_t g = tasks.group[i];
    perm[g] += tasks.perm[i];
    temp[g] = std::max(temp[g], tasks.temp[i]);
    out[g] = std::max(out[g], tasks.out[i]);
    both[g] = std::max(both[g], tasks.temp[i] + tasks.out[i]);
    ++group_left_[g];
    readers_left_[i] = tasks.out_begin[i + 1] - tasks.out_begin[i];
  }
  for (int32_t g = 0; g < tasks.groups; ++g) {
    resident_[g] = options.group_resident.empty() ? perm[g] : options.group_resident[g];
    switch (model_) {
      case MemoryModel::kPlain:
        group_need_[g] = perm[g];
        break;
      case MemoryModel::kReserve:
        group_need_[g] = temp[g] + perm[g] + out[g];
        break;
      case MemoryModel::kTorch:
        break;
      case MemoryModel::kEvent:
        group_need_[g] = resident_[g] + both[g];
        break;
    }
  }
  if (model_ != MemoryModel::kTorch) return;
  group_permanent_.assign(tasks.groups, 0);
  for (int32_t i = 0; i < tasks.size(); ++i)
    group_permanent_[tasks.group[i]] += torch_[i].permanent;
  promised_.assign(cluster.size(), 0);
  device_of_.assign(tasks.size(), -1);
  there_.assign(tasks.tensors.size() * cluster.size(), 0);
}

int64_t ListMemory::Need(int32_t task, bool group_is_there) const {
  const int32_t g = tasks_.group[task];
  const int64_t own = tasks_.temp[task] + tasks_.out[task];
  switch (model_) {
    case MemoryModel::kPlain:
      return group_is_there ? own : std::max(own, group_need_[g]);
    case MemoryModel::kReserve:
      return group_is_there ? own - reserved_[g] : std::max(own, group_need_[g]);
    case MemoryModel::kTorch:
      return 0;  // looked at again whenever something came to the device
    case MemoryModel::kEvent:
      return group_is_there ? 0 : group_need_[g];
  }
  return 0;
}

void ListMemory::Reserve(int32_t task, int32_t device, bool group_was_there) {
  const int32_t g = tasks_.group[task];
  if (!group_was_there) {
    reserved_[g] = group_need_[g];
    used_[device] += group_need_[g];
  }
  const int64_t drawn = std::min(reserved_[g], tasks_.out[task]);
  reserved_[g] -= drawn;
  used_[device] += tasks_.out[task] - drawn;
  const int64_t scratch = std::max<int64_t>(0, tasks_.temp[task] - reserved_[g]);
  peak_[device] = std::max(peak_[device], used_[device] + scratch);
}

int64_t ListMemory::MissingInputs(int32_t task, int32_t device) const {
  int64_t bytes = 0;
  for (int32_t e : tasks_.InEdges(task)) {
    if (device_of_[tasks_.edges[e].src] == device) continue;
    for (int32_t t : tasks_.TensorsOf(e)) {
      if (!there_[static_cast<size_t>(t) * limit_.size() + device])
        bytes += tasks_.tensors[t].bytes;
    }
  }
  return bytes;
}

// A group that begins must find room for what all of its tasks keep.
bool ListMemory::TorchFits(int32_t task, int32_t device, bool group_is_there) const {
  const TorchNeed& need = torch_[task];
  const int64_t inputs = MissingInputs(task, device);
  const int64_t kept = group_is_there ? 0 : group_permanent_[tasks_.group[task]];
  return used_[device] + promised_[device] + kept + inputs + need.temporary <= limit_[device] &&
         peak_[device] + inputs + need.parameters <= limit_[device];
}

void ListMemory::TorchPlace(int32_t task, int32_t device, bool group_was_there,
                            std::vector<uint8_t>& freed) {
  const TorchNeed& need = torch_[task];
  const int64_t inputs = MissingInputs(task, device);
  peak_[device] = std::max(peak_[device], used_[device] + need.permanent + need.temporary);
  used_[device] += need.permanent + inputs;
  if (!group_was_there) promised_[device] += group_permanent_[tasks_.group[task]];
  promised_[device] -= need.permanent;
  device_of_[task] = device;
  for (int32_t e : tasks_.InEdges(task)) {
    for (int32_t t : tasks_.TensorsOf(e))
      there_[static_cast<size_t>(t) * limit_.size() + device] = 1;
  }
  freed[device] = 1;  // other readers of these inputs need less now
}

void ListMemory::Place(int32_t task, int32_t device, bool group_was_there,
                       const std::vector<int32_t>& device_of, std::vector<uint8_t>& freed) {
  const int32_t g = tasks_.group[task];
  if (model_ == MemoryModel::kTorch) return TorchPlace(task, device, group_was_there, freed);
  if (model_ == MemoryModel::kEvent) {
    if (!group_was_there) used_[device] += resident_[g];
    peak_[device] = std::max(peak_[device], used_[device]);
    return;
  }
  if (model_ == MemoryModel::kReserve) {
    Reserve(task, device, group_was_there);
  } else {
    used_[device] += tasks_.out[task];
    peak_[device] = std::max(peak_[device], used_[device] + tasks_.temp[task]);
  }
  if (--group_left_[g] == 0 && reserved_[g] > 0) {
    used_[device] -= reserved_[g];
    reserved_[g] = 0;
    freed[device] = 1;
  }
  for (int32_t e : tasks_.InEdges(task)) {
    const int32_t h = tasks_.edges[e].src;
    if (--readers_left_[h] > 0) continue;
    // At schedule time, not at the end, and with parameters taken as part of the outputs: both as
    // published.
    used_[device_of[h]] -= tasks_.out[h] - tasks_.perm[h];
    freed[device_of[h]] = 1;
  }
}

}  // namespace orchard::place
