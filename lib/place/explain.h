// What a schedule looks like to a person: how busy devices are, what the makespan consists of, and
// pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "place/plan.h"

namespace orchard::place {

struct DeviceUse {
  int32_t operators = 0;
  Time busy = 0, sending = 0, receiving = 0;
  Time fetching = 0;  // parameters from the host
  int64_t sent_bytes = 0, received_bytes = 0, fetched_bytes = 0;
};
std::vector<DeviceUse> DeviceUses(const Problem& problem, const Schedule& schedule);

// One link of the chain that fixes the makespan, last first: what ran or was sent, and how long it
// had to wait for a device or channel after its input was there.
enum class HostPart { kNone, kFetch, kGradient, kUpdate };  // what concerns parameters on the host
struct ChainLink {
  int32_t op = -1;  // the operator, the producer of what was sent, or whose parameters these are
  int32_t tensor = -1;  // of a transfer; -1: an operator
  int32_t src = 0, dst = 0;
  Time start = 0, end = 0;
  HostPart host = HostPart::kNone;  // over the link of device `src` to the host, or there
  bool computes() const { return tensor < 0 && host == HostPart::kNone; }
};
std::vector<ChainLink> CriticalChain(const Problem& problem, const Schedule& schedule);

// "80.0 ms: 78.1 ms computing in 212 operators, 1.4 ms in 9 transfers, 0.5 ms waiting for links";
// fetches of parameters, gradients and updates on the host are counted by themselves.
std::string ChainInWords(const std::vector<ChainLink>& chain, Time makespan);

// Gantt chart as SVG: per device a row of operators, and one of sends and receives; where
// parameters live on the host, one of what goes from and to it. Operators too short to see are
// drawn together.
std::string GanttSvg(const Problem& problem, const Schedule& schedule);

// The same for Perfetto and chrome://tracing: one process per device, threads for compute, sends
// and receives, flows from send to receive, and used bytes as a counter.
std::string PlanTrace(const Problem& problem, const Schedule& schedule, const MemoryUse& memory);

}  // namespace orchard::place
