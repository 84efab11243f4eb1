// What to tell when no placement fits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/member.h"
#include "place/plan.h"

namespace orchard::place {

// The smallest equal limit at which some of `members` is the same placement as here, and fits.
std::optional<int64_t> LimitThatWorks(const std::vector<Member>& members);

// Throws ImpossibleError: the group that no device can hold if there is one, by how much the
// closest of `members` overruns which devices, and the smallest equal limit that was found to work
// (without one: LimitThatWorks). With `offload` parameters may live on the host.
[[noreturn]] void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members,
                                  std::optional<int64_t> smallest = std::nullopt,
                                  bool offload = false);

}  // namespace orchard::place
