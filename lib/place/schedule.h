// What a planner or a simulator says happens when and where.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "place/units.h"

namespace orchard::place {

struct Transfer {
  int32_t tensor = 0;
  int32_t src = 0, dst = 0;  // devices
  Time start = 0, end = 0;
};

struct HostPlan;

struct Span {
  Time start = 0, end = 0;
};

// A gradient that goes to the host, which makes the update.
struct WriteBack {
  int32_t update = 0;  // the operator that makes it
  int32_t device = 0;
  Time start = 0, end = 0;
};

struct Schedule {
  std::vector<int32_t> device;              // of each task; -1: not placed
  std::vector<Time> start, end;             // of each task
  std::vector<std::vector<int32_t>> order;  // of each device: its tasks as they run
  std::vector<Transfer> transfers;          // where the maker keeps them
  std::vector<int64_t> peak;                // bytes per device, by the maker's own bookkeeping
  Time makespan = 0;
  // Where parameters live on the host (host_plan.h): the plan, when each of its fetches went, and
  // the gradients. Updates that the host makes stand in no device's order.
  std::shared_ptr<const HostPlan> host;
  std::vector<std::vector<Span>> fetches;  // of each device, as those of the plan
  std::vector<WriteBack> write_backs;
  int32_t placed = 0;  // tasks that got a device; fewer than all: memory did not suffice

  bool complete() const { return placed == static_cast<int32_t>(device.size()); }
};

}  // namespace orchard::place
