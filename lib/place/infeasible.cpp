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

// The largest operators on device d, as many as together are what it lacks: parameters, outputs and
// scratch. "'a' (1.20 GB), 'b' (300 MB) and 4 more".
std::string WhatDoesNotFit(const Problem& problem, const Evaluated& placement, int32_t d) {
  constexpr size_t kNamed = 3;
  std::vector<int64_t> bytes(problem.sizes.temp);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] += problem.sizes.perm[i];
  for (const MemorySizes::Buffer& buffer : problem.sizes.buffers) bytes[buffer.op] += buffer.bytes;
  std::vector<int32_t> ops;
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    if (placement.schedule.device[i] == d && bytes[i] > 0) ops.push_back(i);
  }
  std::stable_sort(ops.begin(), ops.end(),
                   [&](int32_t a, int32_t b) { return bytes[a] > bytes[b]; });
  int64_t lacks = placement.memory.peak[d] - problem.cluster.devices[d].memory;
  std::string names;
  size_t count = 0;
  for (; count < ops.size() && lacks > 0; ++count) {
    lacks -= bytes[ops[count]];
    if (count >= kNamed) continue;
    names += fmt::format("{}'{}' ({})", count == 0 ? "" : ", ",
                         io::Printable(problem.graph.ops[ops[count]].name, 60),
                         FormatBytes(static_cast<uint64_t>(bytes[ops[count]])));
  }
  if (count > kNamed) names += fmt::format(" and {} more", count - kNamed);
  return names;
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
                     const LimitsToTell& limits) {
  const Problem& tightest = limits.tightest ? *limits.tightest : problem;
  const std::optional<int64_t> smallest =
      limits.smallest ? limits.smallest : LimitThatWorks(members);
  const Member* closest = nullptr;
  for (const Member& member : members) {
    if (!member.placed) continue;
    if (!closest || Better(member, *closest)) closest = &member;
  }
  std::string what = "no placement fits the devices' memory";
  const std::string group = limits.offload ? OperatorTooLarge(tightest) : GroupTooLarge(tightest);
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
      if (closest->result.schedule.device.size() == static_cast<size_t>(problem.ops.size())) {
        devices += fmt::format(", too much by {}: {}",
                               FormatBytes(static_cast<uint64_t>(peak - device.memory)),
                               WhatDoesNotFit(problem, closest->result, d));
      }
    }
    what += fmt::format("; the closest ({}): {}", closest->name, devices);
  }
  std::string remedy = "more devices or memory";
  if (smallest) {
    remedy = fmt::format(
        "no equal limit below {} bytes can work, the smallest equal limit found to work is {} ({} "
        "bytes)",
        limits.least.value_or(limits.offload ? LeastOffloadedLimit(tightest)
                                             : LeastLimit(tightest)),
        FormatBytes(static_cast<uint64_t>(*smallest)), *smallest);
  }
  if (!limits.not_asked.empty()) remedy += "; less may do with " + limits.not_asked;
  throw ImpossibleError(what, "", remedy);
}

}  // namespace orchard::place
