// The CPU twin of the CUDA kernel expand_matrix: the arithmetic of expand/element.h over runs of
// consecutive elements, vectorised by the compiler. Same bits as one element at a time.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "expand/element.h"

namespace orchard::expand {

// Elements handled in one call.
inline constexpr int kLanes = 128;

// Divides `lanes` consecutive weights over their copies.
//   weights  [lanes] source weights, rounded to storage
//   base     [copies] flat target index of the first lane's element of each copy; the lanes follow
//   it parts    [copies] where to write each copy's `lanes` parts; nullptr for a copy that is not
//   wanted
void SplitLanes(Split split, const SplitSettings<float>& settings, Philox2 key, int copies,
                const uint64_t* base, const float* weights, int lanes, float* const* parts);
void SplitLanes(Split split, const SplitSettings<double>& settings, Philox2 key, int copies,
                const uint64_t* base, const double* weights, int lanes, double* const* parts);

// Noise for `lanes` consecutive elements from flat index `base`: `PadElement` of each.
void PadLanes(float noise_unit, Philox2 key, uint64_t base, int lanes, float* values);
void PadLanes(double noise_unit, Philox2 key, uint64_t base, int lanes, double* values);

// The noise integers of `lanes` consecutive elements from flat index `base`.
void NoiseLanes(Philox2 key, uint64_t base, int lanes, int32_t* noise);

// Storage <-> arithmetic type over a run.
// `AllFinite` is false when a value is NaN or infinite.
void WidenLanes(const BFloat16* stored, int64_t count, float* values);
void WidenLanes(const Float16* stored, int64_t count, float* values);
void NarrowLanes(const float* values, int64_t count, BFloat16* stored);
void NarrowLanes(const float* values, int64_t count, Float16* stored);
bool AllFinite(const float* values, int64_t count);
bool AllFinite(const double* values, int64_t count);

}  // namespace orchard::expand
