// Whether a placement is worth using, and how far from the best possible it can be, in words.
#pragma once

#include <string>
#include <vector>

#include "place/bounds.h"
#include "place/member.h"
#include "place/plan.h"

namespace orchard::place {

struct Assessment {
  std::string distance;  // "no placement is faster", "at most 4.2 % above the best possible"
  std::string reason;    // what no placement can undercut, and why
  std::string gain;      // against everything on one device
};

// `members`: what else was tried, perhaps nothing; tells whether one device is enough.
Assessment Assess(const Problem& problem, const Evaluated& placement, const LowerBound& bound,
                  const std::vector<Member>& members);

}  // namespace orchard::place
