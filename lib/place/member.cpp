#include "place/member.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

namespace orchard::place {

bool Better(const Member& a, const Member& b) {
  if (a.placed != b.placed) return a.placed;
  return std::tuple(a.result.excess, a.result.schedule.makespan) <
         std::tuple(b.result.excess, b.result.schedule.makespan);
}

run::Numbers NumbersOf(const Member& member) {
  run::Numbers numbers = {{"placed", member.placed ? 1 : 0},
                          {"makespan_ns", static_cast<double>(member.result.schedule.makespan)},
                          {"excess_bytes", static_cast<double>(member.result.excess)},
                          {"sent_bytes", static_cast<double>(member.sent_bytes)},
                          {"seconds", member.seconds},
                          {"plan_seconds", member.plan_seconds},
                          {"published_makespan_ns", static_cast<double>(member.published_makespan)},
                          {"lp_objective_us", member.lp_objective_us},
                          {"lp_bound_us", member.lp_bound_us}};
  if (member.microbatches > 1) {
    numbers["microbatches"] = member.microbatches;
    for (size_t p = 0; p < std::size(kPipelineNames); ++p) {
      if (member.pipeline == kPipelineNames[p].name) numbers["pipeline"] = static_cast<double>(p);
    }
  }
  if (member.with_memory >= 0) numbers["with_memory_ns"] = static_cast<double>(member.with_memory);
  if (member.recomputing) numbers["recomputing"] = 1;
  const std::vector<int64_t>& peak = member.result.memory.peak;
  for (size_t d = 0; d < peak.size(); ++d)
    numbers[fmt::format("peak_bytes_{:05}", d)] = static_cast<double>(peak[d]);
  return numbers;
}

Member MemberOf(const std::string& name, Algorithm algorithm, const run::Numbers& numbers) {
  const auto at = [&](const char* key) {
    const auto found = numbers.find(key);
    return found == numbers.end() ? 0.0 : found->second;
  };
  Member member;
  member.name = name;
  member.algorithm = algorithm;
  member.placed = at("placed") != 0;
  member.result.schedule.makespan = static_cast<Time>(at("makespan_ns"));
  member.result.excess = static_cast<int64_t>(at("excess_bytes"));
  member.sent_bytes = static_cast<int64_t>(at("sent_bytes"));
  member.seconds = at("seconds");
  member.plan_seconds = at("plan_seconds");
  member.published_makespan = static_cast<Time>(at("published_makespan_ns"));
  member.lp_objective_us = at("lp_objective_us");
  member.lp_bound_us = at("lp_bound_us");
  member.microbatches = static_cast<int32_t>(std::max(1.0, at("microbatches")));
  if (member.microbatches > 1) {
    member.pipeline = kPipelineNames[static_cast<size_t>(at("pipeline"))].name;
    member.name = PipelinedName(name, member.microbatches, member.pipeline);
  }
  member.recomputing = at("recomputing") != 0;
  if (member.recomputing) member.name += ", recomputing";
  if (numbers.contains("with_memory_ns")) {
    member.with_memory = static_cast<Time>(at("with_memory_ns"));
    member.name += ", offloading";
  }
  for (const auto& [key, value] : numbers) {
    if (key.starts_with("peak_bytes_"))
      member.result.memory.peak.push_back(static_cast<int64_t>(value));
  }
  return member;
}

std::string PipelinedName(const std::string& name, int32_t microbatches,
                          const std::string& pipeline) {
  return fmt::format("{}, {} micro-batches, {}", name, microbatches, pipeline);
}

void CountBytes(const Problem& problem, Member& member) {
  for (const Transfer& transfer : member.result.schedule.transfers)
    member.sent_bytes += problem.ops.tensors[transfer.tensor].bytes;
}

}  // namespace orchard::place
