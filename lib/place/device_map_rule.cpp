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
  std::vector<int32_t> device;
  int32_t d = 0;
  int64_t used = 0;
  for (int64_t bytes : module_bytes) {
    while (d + 1 < cluster.size()) {
      const int64_t budget = std::min(share, cluster.devices[d].memory) - (d == 0 ? largest : 0);
      if (used + bytes <= budget) break;
      ++d;
      used = 0;
    }
    used += bytes;
    device.push_back(d);
  }
  return device;
}

}  // namespace orchard::place
