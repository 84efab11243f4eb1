#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace orchard {
namespace {

// The number that a file consists of; -1 where there is none, as in "max".
int64_t NumberIn(const std::string& file) {
  std::ifstream stream(file);
  int64_t number = -1;
  return stream >> number ? number : -1;
}

int64_t FreeOfMachine() {
  std::ifstream stream("/proc/meminfo");
  for (std::string key, unit; stream >> key;) {
    int64_t kib = 0;
    if (!(stream >> kib)) break;
    if (key == "MemAvailable:") return kib * 1024;
    std::getline(stream, unit);
  }
  return 0;
}

// What the process's own control group and those above it leave (version 2).
int64_t FreeOfGroup() {
  std::ifstream stream("/proc/self/cgroup");
  std::string line;
  int64_t least = 0;
  while (std::getline(stream, line)) {
    if (!line.starts_with("0::")) continue;
    std::string group = line.substr(3);
    for (;;) {
      const std::string folder = "/sys/fs/cgroup" + group;
      const int64_t most = NumberIn(folder + "/memory.max");
      const int64_t used = NumberIn(folder + "/memory.current");
      if (most >= 0 && used >= 0) {
        const int64_t left = std::max<int64_t>(1, most - used);
        least = least == 0 ? left : std::min(least, left);
      }
      if (group.size() <= 1) break;
      group.resize(group.rfind('/'));
    }
  }
  return least;
}

}  // namespace

int64_t AvailableMemoryBytes() {
  const int64_t machine = FreeOfMachine(), group = FreeOfGroup();
  if (machine == 0 || group == 0) return std::max(machine, group);
  return std::min(machine, group);
}

}  // namespace orchard
