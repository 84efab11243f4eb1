// The page of a placement: verdicts, Gantt chart, memory over time, and the other methods.
#pragma once

#include <string>
#include <vector>

#include "place/limits.h"
#include "place/place.h"
#include "run/report.h"

namespace orchard::place {

// `members` may be empty.
run::Report PlacementReport(const std::string& title, const Problem& problem,
                            const Evaluated& placement, const LowerBound& bound,
                            const std::vector<Member>& members, const std::string& method);

// A section with the table of all methods and makespan against memory.
void AddMembers(run::Report& report, const std::vector<Member>& members, const LowerBound& bound);

// Makespan, peak and time of each; `bound` gives the gap.
run::Table MemberTable(const std::vector<Member>& members, const LowerBound& bound);

// Makespan against memory: the chart and the table of a sweep.
run::Report LimitReport(const std::string& title, const LimitSweep& sweep);

}  // namespace orchard::place
