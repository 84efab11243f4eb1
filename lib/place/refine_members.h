// Refinement as a member of the portfolio: it begins where the others ended.
#pragma once

#include <vector>

#include "place/member.h"
#include "place/options.h"
#include "place/plan.h"
#include "place/search_context.h"

namespace orchard::place {

// Anneals from the best of `members` and adds the result to them. Nothing where nothing was placed
// or nothing can move. On the CUDA device of `context`, where given and links are parallel, by
// batches of moves of many chains. Otherwise goes on from what its file, where given, holds, and
// leaves there what an interrupted annealing needs to go on.
void AddRefined(const Problem& problem, const PlaceOptions& options, const SearchContext& context,
                std::vector<Member>& members);

}  // namespace orchard::place
