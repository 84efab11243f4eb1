// Which samples each rank of a data-parallel job trains on, when every rank keeps to its own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cli/fields.h"

namespace orchard::data {

enum class ShardKind { kShuffled, kContiguous, kStrided, kByLabel, kDirichlet };
inline constexpr cli::EnumName<ShardKind> kShardKindNames[] = {
    {"shuffled", ShardKind::kShuffled},
    {"contiguous", ShardKind::kContiguous},
    {"strided", ShardKind::kStrided},
    {"by-label", ShardKind::kByLabel},
    {"dirichlet", ShardKind::kDirichlet}};
constexpr auto EnumNames(ShardKind) { return std::span(kShardKindNames); }

// Disjoint lists of indices, one per rank.
//
//   shuffled    a random order in equal contiguous parts
//   contiguous  [r floor(N/n), (r+1) floor(N/n)), in the order of the data
//   strided     r, r + n, r + 2n, ...
//   by-label    as contiguous, after a stable sort by label
//   dirichlet   each class is divided among ranks in proportions drawn from Dirichlet(alpha, ...):
//               the smaller alpha, the more unlike are ranks (Hsu et al., 2019); sizes differ
//
// The first four leave out the last N mod n samples. Throws UsageError when a rank would get
// nothing.
std::vector<std::vector<int64_t>> MakeShards(std::span<const int32_t> labels, int ranks,
                                             ShardKind kind, double alpha, uint64_t seed);

// The largest total variation distance, in [0, 1], between the labels of a rank and those of all.
double LabelSkew(std::span<const int32_t> labels, const std::vector<std::vector<int64_t>>& shards);

}  // namespace orchard::data
