// The arithmetic of expand/element.h over runs of consecutive elements, in loops that are
// vectorised by the compiler. Same bits as one element at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "base/half.h"
#include "expand/element.h"

namespace orchard::expand {

// Elements handled in one call, at most.
inline constexpr int kLanes = 256;

// Room that `NoiseLanes` needs for kLanes elements.
inline constexpr int kNoiseRoom = kLanes + 64;

// Divides `lanes` <= kLanes consecutive stored weights over their copies.
//   base   [copies] flat target index of the first lane's element of each copy; the lanes follow it
//   parts  [copies] where to write each copy's `lanes` parts, rounded to storage; nullptr for a
//   copy
//          that is not wanted
// T is BFloat16, Float16, float or double.
template <class T>
void SplitLanes(Split split, const SplitSettings<ComputeOf<T>>& settings, Philox2 key, int copies,
                const uint64_t* base, const T* weights, int lanes, T* const* parts);

// Noise for `count` consecutive elements from flat index `base`: `PadElement` of each, rounded to
// storage.
template <class T>
void PadLanes(ComputeOf<T> noise_unit, Philox2 key, uint64_t base, int64_t count, T* values);

// The noise integers of `lanes` <= kLanes consecutive elements from flat index `base`: a pointer
// into `room`, which holds kNoiseRoom.
const int32_t* NoiseLanes(Philox2 key, uint64_t base, int lanes, int32_t* room);

// The ways to draw it that this processor has, best first; they give the same numbers. `function`
// writes the noise of blocks [first, first + blocks), and up to 60 elements more.
struct NoiseVariant {
  const char* name;
  void (*function)(Philox2 key, uint64_t first, int blocks, int32_t* noise);
};
std::vector<NoiseVariant> NoiseVariants();

// Storage <-> arithmetic type over a run.
void WidenLanes(const BFloat16* stored, int64_t count, float* values);
void WidenLanes(const Float16* stored, int64_t count, float* values);
void NarrowLanes(const float* values, int64_t count, BFloat16* stored);
void NarrowLanes(const float* values, int64_t count, Float16* stored);

// False when a value is NaN or infinite. For T as above.
template <class T>
bool AllFinite(const T* values, int64_t count);

}  // namespace orchard::expand
