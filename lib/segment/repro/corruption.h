// Test images as another scanner might have made them.
#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"
#include "segment/prepare.h"

namespace orchard::segment::repro {

enum class Corruption { kNone, kNoise, kBlur, kGamma, kCoarse };
inline constexpr int kCorruptionLevels = 3;

// "noise 2"; "" of none.
std::string NameOf(Corruption kind, int level);

// The values of a prepared image (mean 0, deviation 1), changed; `level` 1 to 3:
//   noise   Gaussian, of deviation 0.25, 0.5, 1
//   blur    Gaussian, sigma 0.7, 1.4, 2.1 voxels
//   gamma   v^(1.5^level) of the values scaled to 0..1, then back to the same mean and deviation
//   coarse  sampled at 2/3, 1/2 and 1/3 of the resolution and interpolated back
void Corrupt(PreparedImage& image, Corruption kind, int level, uint64_t seed, ThreadPool& pool);

}  // namespace orchard::segment::repro
