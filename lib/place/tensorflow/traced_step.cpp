#include "place/tensorflow/traced_step.h"

#include <algorithm>

namespace orchard::place::tensorflow {

int64_t BoundedBytes(int64_t bytes) { return std::clamp<int64_t>(bytes, 0, int64_t{1} << 60); }

bool IsRuntimeCopy(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash == name.npos || slash + 2 > name.size() || name[slash + 1] != '_') return false;
  const std::string_view digits = name.substr(slash + 2);
  return !digits.empty() &&
         std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void TracedNode::SetOutput(int64_t port, int64_t bytes) {
  constexpr int64_t kMostPorts = 100'000;
  if (port < 0 || port >= kMostPorts) return;
  int64_t& largest = out[static_cast<int32_t>(port)];
  largest = std::max(largest, BoundedBytes(bytes));
}

}  // namespace orchard::place::tensorflow
