// How a selection of the arena becomes the pieces that kernels work on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sync/block_selector.h"
#include "sync/update_kernels.h"

namespace orchard::sync {

// The part of a selection within a region.
Selection Clip(const Selection& selection, Range region);

// Everything that is in one of the selections.
Selection UnionOf(std::span<const Selection> selections);

// All of a region, none of it sent.
std::vector<Piece> PiecesOf(Range region);

// The selection, run after run in the message from place `wire` on.
std::vector<Piece> PiecesOf(const Selection& selection, int64_t wire);

// A region in two parts: `early` is in one of the selections, `late` in none. Pieces of the first
// selection are sent, from place 0 of the message on. All selections lie within the region.
struct RegionPieces {
  std::vector<Piece> early, late;
};
RegionPieces Divide(Range region, std::span<const Selection> selections);

}  // namespace orchard::sync
