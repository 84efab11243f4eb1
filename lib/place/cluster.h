// Devices and the links between them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/fields.h"
#include "place/units.h"

namespace orchard::place {

// How transfers share the links.
enum class Comm {
  kParallel,  // every transfer at once
  kDuplex,    // a device sends one and receives one at a time
  kHalf       // a device sends or receives one at a time
};
inline constexpr cli::EnumName<Comm> kCommNames[] = {
    {"parallel", Comm::kParallel}, {"duplex", Comm::kDuplex}, {"half", Comm::kHalf}};
constexpr auto EnumNames(Comm) { return std::span(kCommNames); }
const char* Name(Comm comm);

// Sending n bytes takes us_per_byte * n + latency_us. The defaults are the coefficients published
// with Baechi's TensorFlow code: 5.7 GB/s, PCIe through the host.
struct Link {
  double us_per_byte = 0.0001754;
  double latency_us = 134;
};

// Half of such a transfer: its way from or to the host, 11.4 GB/s.
inline constexpr Link kHostLink{0.0000877, 67};

struct Device {
  std::string name;
  int64_t memory = INT64_MAX;  // bytes that placements may use, the reserve taken off
  double speed = 1;            // an operator of w us takes w / speed
  std::optional<Link> host;    // its link to the host's memory, where it has an own one
};

class Cluster {
 public:
  Cluster() = default;
  // `count` equal devices.
  Cluster(int32_t count, int64_t memory, Link link, Comm comm);

  std::vector<Device> devices;
  Link link;                // of every pair without an own one
  std::vector<Link> links;  // empty, or [src * devices + dst]
  Comm comm = Comm::kParallel;
  Link host_link = kHostLink;  // of every device without an own one; fetches and gradients
  double host_gb_per_s = 25;   // of the host's memory, for updates there: a channel of DDR4-3200
  bool whole_microseconds = false;  // round costs and times as the TensorFlow code does

  int32_t size() const { return static_cast<int32_t>(devices.size()); }
  bool uniform() const;  // one speed and one link
  // Time to send `bytes` from one device to another one; `stated_us` >= 0 overrides the link.
  Time Cost(int64_t bytes, double stated_us, int32_t src, int32_t dst) const;
  // Time to send `bytes` between the host and a device, either way.
  Time HostCost(int64_t bytes, int32_t device) const;
  Time MeanCost(int64_t bytes, double stated_us) const;  // over all pairs of different devices
  Time Work(Time at_speed_one, int32_t device) const;
};

// devices.json: {"devices": [{"name", "memory", "speed", "reserve"}], "links": {"default": {"a",
// "b", "mode"}, "host": {"a", "b"}, "pairs": [{"src", "dst", "a", "b"}]}} with a in us per byte and
// b in us; a device may have a "host" of its own. `link` and `comm` hold where the file says
// nothing. Throws DataError naming the JSON path.
Cluster ReadCluster(const std::filesystem::path& path, Link link, Comm comm);

}  // namespace orchard::place
