#include "execute/device_spec.h"

#include <algorithm>

#include "base/error.h"
#include "io/printable.h"
#include "nn/device.h"

namespace orchard::execute {
namespace {

bool AllDigits(std::string_view text) {
  return !text.empty() && text.size() < 6 &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Whether the text is cpu, cpu:N, cuda, cuda:N or cuda:N/M.
bool IsDevice(const std::string& name) {
  if (name == "cpu" || name == "cuda") return true;
  if (name.starts_with("cpu:")) return AllDigits(std::string_view(name).substr(4));
  if (!name.starts_with("cuda:")) return false;
  const std::string_view rest = std::string_view(name).substr(5);
  const size_t slash = rest.find('/');
  return AllDigits(rest.substr(0, slash)) &&
         (slash == std::string_view::npos || AllDigits(rest.substr(slash + 1)));
}

}  // namespace

DeviceSpec ParseDevice(const std::string& name) {
  if (!IsDevice(name))
    throw UsageError(io::Quoted(name) + " is not a device", "--devices",
                     "cpu:0, cuda:0 or, for a part of a GPU, cuda:0/1");
  DeviceSpec spec{.name = name};
  if (name.starts_with("cuda")) spec.device = nn::ResolveDevice(name.substr(0, name.find('/')));
  return spec;
}

std::vector<DeviceSpec> DevicesOf(const place::Cluster& cluster) {
  const bool named = std::any_of(cluster.devices.begin(), cluster.devices.end(),
                                 [](const place::Device& d) { return IsDevice(d.name); });
  std::vector<DeviceSpec> devices;
  for (const place::Device& device : cluster.devices) {
    devices.push_back(named ? ParseDevice(device.name) : DeviceSpec{.name = device.name});
    devices.back().limit = device.memory;
  }
  return devices;
}

}  // namespace orchard::execute
