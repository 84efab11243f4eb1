// Which parameters live on the host, so that a placement fits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "place/bounds.h"
#include "place/member.h"
#include "place/plan.h"

namespace orchard::place {

// Makes `base` fit, if it can be: parameters of operators on its full devices go to the host. They
// are ranked by the link's time per byte that becomes free, by how late they are first read, and by
// the link's time per computation; of each rank as few as fit are tried, and more, which leaves
// room to fetch earlier; then single operators are taken out, put in and swapped while that helps.
// With `fast` it ends with the first that fits.
std::optional<Evaluated> OffloadToFit(const Problem& problem, const Evaluated& base,
                                      bool fast = false);

// That for a member: what is better and fits, or nothing.
std::optional<Member> Offloaded(const Problem& problem, const Member& base, bool fast = false);

// Of members that do not fit, those worth it: the fastest four, the closest, the single device and
// the best by memory-split. None that could not be faster than `best`.
std::vector<const Member*> WorthOffloading(const std::vector<Member>& members, const Member* best);

// The best of one algorithm; none when it did not place anything.
const Member* ClosestBy(const std::vector<Member>& members, Algorithm algorithm);

// Throws UsageError where the options ask for parameters on the host and nobody knows what that
// would cost: with a published program's conventions, or a graph that holds its backward pass.
void CheckOffload(const PlaceOptions& options);

// What lives on the host: parameters, and the optimiser's states of a training step.
int64_t BytesOnHost(const Problem& problem, const HostPlan& host);

// Bytes that some device needs whatever its parameters do: an operator with its parameters once,
// its scratch and its outputs.
int64_t LeastOffloadedLimit(const Problem& problem);

// For each operator; LeastOffloadedLimit is the largest.
std::vector<int64_t> OffloadedNeeds(const Problem& problem);

// ComputeLowerBound, or BoundWithHost where parameters may be on the host and memory can bind.
LowerBound BoundFor(const Problem& problem, Offload offload);

// A bound that holds with parameters on the host as well: nothing but saved outputs stays on a
// device, and updates take no time there.
LowerBound BoundWithHost(const Problem& problem);

}  // namespace orchard::place
