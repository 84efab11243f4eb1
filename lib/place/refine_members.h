// Refinement as a member of the portfolio: it begins where the others ended.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "place/member.h"
#include "place/options.h"
#include "place/plan.h"

namespace orchard::place {

class RefineFile;  // refine_file.h

// What a user is told while placing: the news, and how much of the annealing is done: steps of all
// chains, or with a time limit whole seconds.
using PlaceProgress = std::function<void(std::string_view note, int64_t done)>;

// Anneals from the best of `members` and adds the result to them. Nothing where nothing was placed
// or nothing can move. On CUDA device `cuda`, where given and links are parallel, by batches of
// moves of many chains. Otherwise goes on from what `file`, where given, holds, and leaves there
// what an interrupted annealing needs to go on.
void AddRefined(const Problem& problem, const PlaceOptions& options, int threads, uint64_t seed,
                std::vector<Member>& members, const PlaceProgress& progress,
                std::optional<int> cuda = std::nullopt, const RefineFile* file = nullptr);

}  // namespace orchard::place
