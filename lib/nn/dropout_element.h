// The arithmetic of dropout, shared by cuda/nn/dropout.cu and its CPU twin. The draw of index i is
// word i % 4 of block i / 4 of a Philox stream, so that it depends on (key, stream, i) alone and
// the backward pass draws again instead of storing a mask.
#pragma once

#include <cstdint>

#include "base/philox.h"

namespace orchard::nn {

// Elements with a draw of 32 bits below this are dropped: probability * 2^32, rounded.
inline uint32_t DropThreshold(double probability) {
  return static_cast<uint32_t>(probability * 4294967296.0 + 0.5);
}

ORCHARD_HD bool Kept(uint32_t draw, uint32_t threshold) { return draw >= threshold; }

}  // namespace orchard::nn
