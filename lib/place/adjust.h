// Groups brought together after the fact: place without them, then move each to one of the devices
// that its members got (T5 of the method).
#pragma once

#include "cli/fields.h"
#include "place/cluster.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::place {

enum class Adjust { kNone, kRandom, kMemory, kTime, kFrequent, kMemorySum, kTimeSum };
inline constexpr cli::EnumName<Adjust> kAdjustNames[] = {
    {"none", Adjust::kNone},         {"random", Adjust::kRandom},
    {"memory", Adjust::kMemory},     {"time", Adjust::kTime},
    {"frequent", Adjust::kFrequent}, {"memory-sum", Adjust::kMemorySum},
    {"time-sum", Adjust::kTimeSum}};
constexpr auto EnumNames(Adjust) { return std::span(kAdjustNames); }

// Changes `device` of the tasks. kRandom takes the first member's, kMemory and kTime that of the
// largest or longest member, kFrequent the most used, the sums the one with most of it. `limited`
// takes the best whose memory holds the members that would move there. Returns the first group
// that fits nowhere, or -1.
int32_t AdjustGroups(const TaskGraph& tasks, const Cluster& cluster, Adjust adjust, bool limited,
                     std::vector<int32_t>& device);

}  // namespace orchard::place
