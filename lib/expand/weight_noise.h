// The noise that breaks the symmetry of copied weights: a near-normal integer for every element of
// a tensor, at its flat index.
//
// Four neighbouring elements share one Philox block: element e owns word e mod 4 of block e div 4.
// Its noise is the sum of the word's four bytes, centred. Integers only, so that every compiler,
// vector width and GPU gives the same value; one instruction sums the bytes on a GPU (dp4a) and in
// AVX-512 (vpdpbusd).
//
// A sum of four uniforms has an excess kurtosis of -0.3 and ends at 3.45 standard deviations, like
// a normal distribution cut off there; it takes 1021 values, 148 to a standard deviation, which is
// finer than the spacing of bf16 weights of that size.
//
// C++17: included by .cu files.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/philox.h"

namespace orchard::expand {

// Largest |WeightNoise|.
constexpr int32_t kMaxWeightNoise = 510;

// 1 / standard deviation of `WeightNoise`: sqrt(12 / (4 (2^16 - 1))) = 1 / sqrt(21845).
constexpr double kWeightNoiseUnit = 0.006765875086793227;

// In [-510, 510], of variance 21845.
ORCHARD_HD int32_t NoiseOfWord(uint32_t word) {
#if defined(__CUDA_ARCH__)
  return static_cast<int32_t>(
      __dp4a(word, 0x01010101u, static_cast<unsigned>(-kMaxWeightNoise)));
#else
  const uint32_t pairs = (word & 0x00FF00FFu) + ((word >> 8) & 0x00FF00FFu);
  return static_cast<int32_t>((pairs & 0xFFFFu) + (pairs >> 16)) - kMaxWeightNoise;
#endif
}

// The block that elements [4 index, 4 index + 4) of a tensor share.
ORCHARD_HD Philox4 NoiseBlock(Philox2 key, uint64_t index) { return PhiloxAt(key, index); }

// The noise of one element alone.
ORCHARD_HD int32_t WeightNoise(Philox2 key, uint64_t element) {
  const Philox4 block = NoiseBlock(key, element / 4);
  const uint32_t low = element & 1u ? block.word[1] : block.word[0];
  const uint32_t high = element & 1u ? block.word[3] : block.word[2];
  return NoiseOfWord(element & 2u ? high : low);
}

}  // namespace orchard::expand
