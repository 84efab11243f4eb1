// The target's configuration: the source's with sizes, epsilon, ties and per-layer lists replaced.
#pragma once

#include "expand/plan.h"

namespace orchard::expand {

// Throws ImpossibleError where a per-layer setting cannot follow the layers.
Json EditConfig(const SourceModel& source, const Plan& plan, const MethodOptions& options,
                bool untied);

}  // namespace orchard::expand
