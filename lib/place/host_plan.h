// Parameters that live in the host's memory: which, and when they are on their device.
//
// An operator whose parameters are offloaded needs them on its device while it runs: they are
// fetched over the device's link to the host before, and freed after the last of the operators that
// share the fetch. In a training step forward, backward and recomputed operators read them; the
// gradient goes to the host once it is complete, and the host, which keeps the optimiser's states,
// makes the update there (Ren et al., ZeRO-Offload, 2021).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "place/cluster.h"
#include "place/graph.h"
#include "place/units.h"

namespace orchard::place {

// One visit of parameters to their device.
struct Fetch {
  int32_t op = 0;                // whose they are
  std::vector<int32_t> readers;  // operators of the device, as they run
  int32_t after = -1;            // starts when this one of the device has ended; -1: at once
};

struct HostPlan {
  std::vector<uint8_t> offloaded;           // of each operator
  std::vector<std::vector<Fetch>> fetches;  // of each device, as its link carries them
  std::vector<uint8_t> on_host;             // operators that the host runs: updates
  std::vector<Time> host_work;              // of those
  std::vector<int64_t> gradient_bytes;      // what they wait for

  int32_t size() const;  // operators whose parameters are on the host
};

// Without fetches yet. Operators of `ops` have parameters.
HostPlan KeepOnHost(const Graph& graph, const Cluster& cluster, const std::vector<int32_t>& ops);

// Operators that need the parameters of each operator on its device while they run.
std::vector<std::vector<int32_t>> ParameterReaders(const Graph& graph);

// What is wrong with the fetches, in words: a reader without its parameters or with them twice,
// another device's operator. Empty: nothing.
std::string FlawOf(const HostPlan& plan, const Graph& graph, const std::vector<int32_t>& device);

}  // namespace orchard::place
