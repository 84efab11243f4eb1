#include "place/options.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

constexpr int32_t kMaxDevices = 4096;
constexpr Link kTorchLink{1.788e-4 * 1.2, 100};  // its 1.2 was tuned by hand

// 0 when the text is not a number.
int32_t CountOf(const std::string& text) {
  int32_t count = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), count);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return 0;
  if (count < 1 || count > kMaxDevices) {
    throw UsageError(fmt::format("{} devices", io::Printable(text)), "--devices",
                     fmt::format("between 1 and {}", kMaxDevices));
  }
  return count;
}

}  // namespace

const char* Name(Algorithm algorithm) { return kAlgorithmNames[static_cast<int>(algorithm)].name; }

Cluster DeviceOptions::Make(const Graph& graph, Compat compat) const {
  const Link published = compat == Compat::kTorch ? kTorchLink : Link{};
  const Link link{us_per_byte.value_or(published.us_per_byte),
                  latency_us.value_or(published.latency_us)};
  Cluster cluster;
  const int32_t hint = graph.devices_hint > 0 ? std::min(graph.devices_hint, kMaxDevices) : 2;
  if (const int32_t count = devices == "auto" ? hint : CountOf(devices); count > 0) {
    const int64_t hinted = graph.memory_hint > 0 ? graph.memory_hint : INT64_MAX;
    cluster = Cluster(count, memory.value_or(hinted), link, comm);
  } else {
    if (memory) {
      throw UsageError("--memory is for devices given by their number", "--memory",
                       "the file states each device's memory");
    }
    cluster = ReadCluster(devices, link, comm);
  }
  if (host_us_per_byte) cluster.host_link.us_per_byte = *host_us_per_byte;
  if (host_latency_us) cluster.host_link.latency_us = *host_latency_us;
  cluster.host_gb_per_s = host_bandwidth;
  for (Device& device : cluster.devices) {
    if (device.memory == INT64_MAX) continue;
    device.memory = static_cast<int64_t>(static_cast<double>(device.memory) * memory_fraction);
    device.memory = std::max<int64_t>(0, device.memory - reserve);
  }
  return cluster;
}

}  // namespace orchard::place
