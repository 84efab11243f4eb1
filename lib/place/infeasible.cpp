#include "place/infeasible.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/number_format.h"
#include "io/printable.h"
#include "place/groups.h"

namespace orchard::place {
namespace {

std::string Limit(int64_t bytes) {
  return bytes == INT64_MAX ? "no limit" : FormatBytes(static_cast<uint64_t>(bytes));
}

// The first group that no device can hold whatever else is there; empty when there is none.
std::string GroupTooLarge(const Problem& problem) {
  const std::vector<std::string> names = GroupNames(problem.graph, problem.ops.group);
  std::vector<int64_t> need(problem.ops.groups, 0), largest(problem.ops.groups, 0);
  const std::vector<int64_t> resident = problem.sizes.Resident();
  std::vector<int64_t> running = problem.sizes.temp;  // scratch and what is not kept of the outputs
  for (const MemorySizes::Buffer& buffer : problem.sizes.buffers) {
    if (!buffer.saved) running[buffer.op] += buffer.bytes;
  }
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    need[problem.ops.group[i]] += resident[i];
    int64_t& most = largest[problem.ops.group[i]];
    most = std::max(most, running[i]);
  }
  int64_t most_memory = 0;
  for (const Device& device : problem.cluster.devices)
    most_memory = std::max(most_memory, device.memory);
  for (int32_t g = 0; g < problem.ops.groups; ++g) {
    if (need[g] + largest[g] > most_memory) {
      return fmt::format(
          "the group of '{}' needs {}, the largest device has {}", io::Printable(names[g], 60),
          FormatBytes(static_cast<uint64_t>(need[g] + largest[g])), Limit(most_memory));
    }
  }
  return "";
}

}  // namespace

void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members) {
  const Member* closest = nullptr;
  int64_t smallest = INT64_MAX;
  for (const Member& member : members) {
    if (!member.placed) continue;
    if (!closest || Better(member, *closest)) closest = &member;
    if (!member.limit_free) continue;
    const auto& peak = member.result.memory.peak;
    smallest = std::min(smallest, *std::max_element(peak.begin(), peak.end()));
  }
  std::string what = "no placement fits the devices' memory";
  const std::string group = GroupTooLarge(problem);
  if (!group.empty()) what += ": " + group;
  if (closest) {
    std::string devices;
    for (int32_t d = 0; d < problem.cluster.size(); ++d) {
      const int64_t peak = closest->result.memory.peak[d];
      const Device& device = problem.cluster.devices[d];
      if (peak <= device.memory) continue;
      devices += fmt::format("{}{} needs {} of {}", devices.empty() ? "" : ", ",
                             io::Printable(device.name, 40),
                             FormatBytes(static_cast<uint64_t>(peak)), Limit(device.memory));
    }
    what += fmt::format("; the closest ({}): {}", closest->name, devices);
  }
  std::string remedy = "more devices or memory";
  if (smallest < INT64_MAX) {
    remedy = fmt::format("the smallest equal limit that surely works is {} ({} bytes)",
                         FormatBytes(static_cast<uint64_t>(smallest)), smallest);
  }
  throw ImpossibleError(what, "", remedy);
}

}  // namespace orchard::place
