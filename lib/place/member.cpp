#include "place/member.h"

#include <tuple>

namespace orchard::place {

bool Better(const Member& a, const Member& b) {
  if (a.placed != b.placed) return a.placed;
  return std::tuple(a.result.excess, a.result.schedule.makespan) <
         std::tuple(b.result.excess, b.result.schedule.makespan);
}

void CountBytes(const Problem& problem, Member& member) {
  for (const Transfer& transfer : member.result.schedule.transfers)
    member.sent_bytes += problem.ops.tensors[transfer.tensor].bytes;
}

}  // namespace orchard::place
