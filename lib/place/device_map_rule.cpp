#include "place/device_map_rule.h"

#include <algorithm>
#include <numeric>

namespace orchard::place {

std::vector<int32_t> BalancedDeviceMap(const std::vector<int64_t>& module_bytes,
                                       const Cluster& cluster) {
  const int64_t total = std::accumulate(module_bytes.begin(), module_bytes.end(), int64_t{0});
  const int64_t largest =
      module_bytes.empty() ? 0 : *std::max_element(module_bytes.begin(), module_bytes.end());
  const int64_t leaves = std::count_if(module_bytes.begin(), module_bytes.end(),
                                       [](int64_t bytes) { return bytes > 0; });
  const int64_t mean = total / std::max<int64_t>(1, leaves);
  const auto buffer = static_cast<int64_t>(1.25 * static_cast<double>(std::max(largest, mean)));
  const int64_t share = total / cluster.size() + buffer;
  // Of the modules behind each: what the first device keeps free, to bring it back later.
  std::vector<int64_t> largest_behind(module_bytes.size(), 0);
  for (size_t i = module_bytes.size(); i-- > 1;)
    largest_behind[i - 1] = std::max(largest_behind[i], module_bytes[i]);
  std::vector<int32_t> device;
  int32_t d = 0;
  int64_t used = 0;
  for (size_t i = 0; i < module_bytes.size(); ++i) {
    while (d + 1 < cluster.size()) {
      const int64_t kept = d == 0 ? largest_behind[i] : 0;
      if (used + module_bytes[i] <= std::min(share, cluster.devices[d].memory) - kept) break;
      ++d;
      used = 0;
    }
    used += module_bytes[i];
    device.push_back(d);
  }
  return device;
}

}  // namespace orchard::place
