#include "place/infeasible.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/number_format.h"
#include "io/printable.h"
#include "place/groups.h"
#include "place/limits.h"
#include "place/offload.h"

namespace orchard::place {
namespace {

std::string Limit(int64_t bytes) {
  return bytes == INT64_MAX ? "no limit" : FormatBytes(static_cast<uint64_t>(bytes));
}

// The largest group, where no device can hold it whatever else is there; empty when there is none.
std::string GroupTooLarge(const Problem& problem) {
  const std::vector<std::string> names = GroupNames(problem.graph, problem.ops.group);
  const std::vector<int64_t> need = GroupNeeds(problem);
  int64_t most_memory = 0;
  for (const Device& device : problem.cluster.devices)
    most_memory = std::max(most_memory, device.memory);
  const auto largest = std::max_element(need.begin(), need.end());
  if (*largest > most_memory) {
    return fmt::format("the group of '{}' needs {}, the largest device has {}",
                       io::Printable(names[largest - need.begin()], 60),
                       FormatBytes(static_cast<uint64_t>(*largest)), Limit(most_memory));
  }
  return "";
}

// The same of an operator, where parameters may leave the device.
std::string OperatorTooLarge(const Problem& problem) {
  const std::vector<int64_t> need = OffloadedNeeds(problem);
  int64_t most_memory = 0;
  for (const Device& device : problem.cluster.devices)
    most_memory = std::max(most_memory, device.memory);
  const auto largest = std::max_element(need.begin(), need.end());
  if (*largest <= most_memory) return "";
  return fmt::format("while it runs, '{}' needs {}, the largest device has {}",
                     io::Printable(problem.graph.ops[largest - need.begin()].name, 60),
                     FormatBytes(static_cast<uint64_t>(*largest)), Limit(most_memory));
}

}  // namespace

std::optional<int64_t> LimitThatWorks(const std::vector<Member>& members) {
  std::optional<int64_t> works;
  for (const Member& member : members) {
    if (!member.placed || !member.limit_free) continue;
    const auto& peak = member.result.memory.peak;
    const int64_t most = *std::max_element(peak.begin(), peak.end());
    works = std::min(works.value_or(most), most);
  }
  return works;
}

void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members,
                     std::optional<int64_t> smallest, bool offload) {
  if (!smallest) smallest = LimitThatWorks(members);
  const Member* closest = nullptr;
  for (const Member& member : members) {
    if (!member.placed) continue;
    if (!closest || Better(member, *closest)) closest = &member;
  }
  std::string what = "no placement fits the devices' memory";
  const std::string group = offload ? OperatorTooLarge(problem) : GroupTooLarge(problem);
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
  if (smallest) {
    remedy = fmt::format(
        "no equal limit below {} bytes can work, the smallest equal limit found to work is {} ({} "
        "bytes)",
        offload ? LeastOffloadedLimit(problem) : LeastLimit(problem),
        FormatBytes(static_cast<uint64_t>(*smallest)), *smallest);
  }
  throw ImpossibleError(what, "", remedy);
}

}  // namespace orchard::place
