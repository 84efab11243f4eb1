// What to tell when no placement fits.
#pragma once

#include <vector>

#include "place/member.h"
#include "place/plan.h"

namespace orchard::place {

// Throws ImpossibleError: the group that no device can hold if there is one, by how much the
// closest of `members` overruns which devices, and an equal limit that is known to work.
[[noreturn]] void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members);

}  // namespace orchard::place
