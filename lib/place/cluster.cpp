#include "place/cluster.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json_file.h"
#include "io/printable.h"
#include "place/json_fields.h"

namespace orchard::place {
namespace {

Link ReadLink(const JsonAt& at, Link link) {
  const auto coefficient = [&](const char* key, double& value) {
    if (!at.Has(key)) return;
    value = at.At(key).Number();
    if (value < 0) at.At(key).Fail(fmt::format("a link coefficient is negative ({})", value));
  };
  coefficient("a", link.us_per_byte);
  coefficient("b", link.latency_us);
  return link;
}

Comm ReadComm(const JsonAt& at) {
  const std::string text = at.Text();
  for (const auto& [name, comm] : kCommNames) {
    if (text == name) return comm;
  }
  at.Fail("'" + io::Printable(text) + "' is neither parallel, duplex nor half");
}

Device ReadDevice(const JsonAt& at, size_t index) {
  Device device;
  device.name = at.Has("name") ? at.At("name").Text() : fmt::format("device{}", index);
  if (at.Has("memory")) device.memory = at.At("memory").Bytes();
  if (at.Has("reserve")) {
    const int64_t reserve = at.At("reserve").Bytes();
    if (reserve > device.memory) at.At("reserve").Fail("the reserve is larger than the memory");
    device.memory -= reserve;
  }
  if (at.Has("speed")) device.speed = at.At("speed").Number();
  if (at.Has("host")) device.host = ReadLink(at.At("host"), kHostLink);
  if (device.speed <= 0) at.At("speed").Fail("a speed must be positive");
  return device;
}

}  // namespace

const char* Name(Comm comm) { return kCommNames[static_cast<int>(comm)].name; }

Cluster::Cluster(int32_t count, int64_t memory, Link all, Comm how) : link(all), comm(how) {
  for (int32_t d = 0; d < count; ++d)
    devices.push_back({.name = fmt::format("device{}", d), .memory = memory});
}

bool Cluster::uniform() const {
  if (!links.empty()) return false;
  for (const Device& device : devices) {
    if (device.speed != devices[0].speed) return false;
  }
  return true;
}

Time Cluster::Cost(int64_t bytes, double stated_us, int32_t src, int32_t dst) const {
  const Link& pair = links.empty() ? link : links[src * devices.size() + dst];
  const double us =
      stated_us >= 0 ? stated_us : pair.us_per_byte * static_cast<double>(bytes) + pair.latency_us;
  return whole_microseconds ? kMicrosecond * std::llrint(us) : FromMicroseconds(us);
}

Time Cluster::HostCost(int64_t bytes, int32_t device) const {
  const Link& link = devices[device].host.value_or(host_link);
  return FromMicroseconds(link.us_per_byte * static_cast<double>(bytes) + link.latency_us);
}

Time Cluster::MeanCost(int64_t bytes, double stated_us) const {
  if (links.empty() || stated_us >= 0 || size() < 2) return Cost(bytes, stated_us, 0, 0);
  double sum = 0;
  for (int32_t s = 0; s < size(); ++s) {
    for (int32_t d = 0; d < size(); ++d) {
      if (s != d) sum += static_cast<double>(Cost(bytes, -1, s, d));
    }
  }
  return std::llrint(sum / (static_cast<double>(size()) * (size() - 1)));
}

Time Cluster::Work(Time at_speed_one, int32_t device) const {
  const double speed = devices[device].speed;
  return speed == 1 ? at_speed_one : std::llrint(static_cast<double>(at_speed_one) / speed);
}

Cluster ReadCluster(const std::filesystem::path& path, Link link, Comm comm) {
  const nlohmann::json json = io::ReadJsonFile(path);
  const JsonAt root(json, path.string());
  Cluster cluster;
  cluster.link = link;
  cluster.comm = comm;
  const JsonAt devices = root.At("devices");
  if (devices.ArraySize() == 0) devices.Fail("there is no device");
  if (devices.ArraySize() > 4096) devices.Fail("there are more than 4096 devices");
  std::map<std::string, int32_t> index;
  for (size_t d = 0; d < devices.ArraySize(); ++d) {
    cluster.devices.push_back(ReadDevice(devices.At(d), d));
    if (!index.emplace(cluster.devices.back().name, static_cast<int32_t>(d)).second)
      devices.At(d).Fail("two devices have the same name");
  }
  if (!root.Has("links")) return cluster;
  const JsonAt links = root.At("links");
  if (links.Has("default")) {
    cluster.link = ReadLink(links.At("default"), cluster.link);
    if (links.At("default").Has("mode")) cluster.comm = ReadComm(links.At("default").At("mode"));
  }
  if (links.Has("host")) cluster.host_link = ReadLink(links.At("host"), kHostLink);
  if (!links.Has("pairs")) return cluster;
  const JsonAt pairs = links.At("pairs");
  cluster.links.assign(cluster.devices.size() * cluster.devices.size(), cluster.link);
  const auto device = [&](const JsonAt& at) {
    const auto found = index.find(at.Text());
    if (found == index.end()) at.Fail("no device is called '" + io::Printable(at.Text()) + "'");
    return static_cast<size_t>(found->second);
  };
  for (size_t p = 0; p < pairs.ArraySize(); ++p) {
    const size_t src = device(pairs.At(p).At("src")), dst = device(pairs.At(p).At("dst"));
    cluster.links[src * cluster.devices.size() + dst] = ReadLink(pairs.At(p), cluster.link);
  }
  return cluster;
}

}  // namespace orchard::place
