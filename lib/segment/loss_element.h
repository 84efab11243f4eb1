// The arithmetic of one voxel of softmax, cross-entropy and soft Dice, shared with the GPU.
#pragma once

#include <cstdint>

#include "base/elementary.h"
#include "base/host_device.h"

namespace orchard::segment {

inline constexpr uint8_t kIgnoredLabel = 255;

// (2 I + s) / (P + Y + s) of one class: I = sum of p y, P = sum of p, Y = sum of y.
template <class C>
ORCHARD_HD C SoftDice(C intersection, C probability, C area, C smooth) {
  return (C(2) * intersection + smooth) / (probability + area + smooth);
}

// Its derivative by p at a voxel that is (y = 1) or is not of the class: `inside` and `outside`.
template <class C>
struct DiceSlope {
  C inside, outside;
};
template <class C>
ORCHARD_HD DiceSlope<C> SoftDiceSlope(C intersection, C probability, C area, C smooth) {
  const C denominator = probability + area + smooth;
  const C outside = -(C(2) * intersection + smooth) / (denominator * denominator);
  return {C(2) / denominator + outside, outside};
}

}  // namespace orchard::segment
