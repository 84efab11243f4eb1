// What several subcommands print about a model and its plan.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "expand/plan.h"

namespace orchard::lemon_expand {

void PrintPlanSummary(const expand::SourceModel& source, const expand::Plan& plan);

}  // namespace orchard::lemon_expand
