// Devices that a program runs on: cpu:0, cpu:1 (threads of this machine with memory of their own),
// cuda:0 (a GPU), cuda:0/1 (a part of a GPU: a stream and a budget of bytes).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

#include "place/cluster.h"

namespace orchard::execute {

struct DeviceSpec {
  std::string name;
  c10::Device device = c10::Device(c10::kCPU);
  int64_t limit = INT64_MAX;  // bytes

  bool cuda() const { return device.is_cuda(); }
};

// Throws UsageError. Loads the CUDA backend where the name asks for it, and throws ResourceError
// when there is no such device.
DeviceSpec ParseDevice(const std::string& name);

// The devices of a cluster by their names, with its limits. Where no name is one of the above, they
// are CPU devices in the order of the cluster.
std::vector<DeviceSpec> DevicesOf(const place::Cluster& cluster);

}  // namespace orchard::execute
