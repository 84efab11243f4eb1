// Which sizes an architecture can be grown to without loss, and the copy maps of its axes.
#pragma once

#include <string>

#include "expand/plan.h"

namespace orchard::expand {

// What a method does with widths, norms and depth; the plan builder knows methods only through
// this.
struct Recipe {
  enum class Width {
    kBlocks,    // whole copies, then padding (residual) or a part of one more copy (heads, hidden
                // units)
    kCircular,  // as kBlocks, the residual too
    kRandomCopies,  // identity, then units drawn at random
    kIdentityPad    // identity, then padding everywhere
  };
  enum class Depth { kNeutral, kCopy };

  Width width = Width::kBlocks;
  Depth depth = Depth::kNeutral;
  Split split = Split::kGrid;
  bool correct_norms = true;  // gains by sqrt(s), epsilon by s
  bool new_rows_from_next = false;
  bool untie = false;
  bool mix = false;      // units and layers are weighted sums of the source's
  bool fresh = false;    // no weight of the source is used
  bool lossless = true;  // refuse what cannot be done without loss
};

Recipe RecipeOf(const MethodOptions& options, const arch::Architecture& architecture);

// Throws DataError where the configuration has sizes that no tensor has: a plan costs memory in
// proportion to them.
void CheckSizesPresent(const SourceModel& source);

// Throws ImpossibleError naming the rule and the nearest legal sizes when a lossless recipe cannot
// reach the target.
void CheckReachable(const SourceModel& source, const Sizes& target, const Recipe& recipe,
                    const MethodOptions& options);

// Checks of one size, `flag` without its dashes. The first bounds what a plan costs, before it is
// made: more copies than the element arithmetic holds, and more layers than anyone stacks
// (ImpossibleError); the second throws UsageError.
void CheckNotHuge(const char* flag, int64_t target, int64_t most);
void CheckNotSmaller(const char* flag, int64_t source, int64_t target);
// "128 or 192": multiples of `unit` around `wish`, at least `unit`.
std::string NearestMultiples(int64_t wish, int64_t unit);

// The copy maps; `seed` is used by random copies only.
AxisMaps MakeMaps(const Sizes& source, const Sizes& target, const Recipe& recipe, uint64_t seed);

MixMaps MakeMixMaps(const Sizes& source, const Sizes& target, uint64_t seed);

// s = K D_S / D_T of the residual stream: 1 where it has no padding.
double ResidualShare(const AxisMaps& maps);
// Copies of each residual unit.
int64_t ResidualCopies(const AxisMaps& maps);

}  // namespace orchard::expand
