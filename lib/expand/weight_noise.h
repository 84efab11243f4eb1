// The noise that breaks the symmetry of copied weights: a near-normal integer for every element of
// a tensor, at its flat index.
//
// Four neighbouring elements share one Philox block: element e owns word e mod 4 of block e div 4.
// Its noise is the sum of the word's four bytes, weighted and centred. Integers only, so that every
// compiler, vector width and GPU gives the same value; one instruction does it on a GPU (dp4a), two
// do it for a vector (pmaddubsw, pmaddwd).
//
// The weights are close to each other, so that this is nearly a sum of four equal uniforms: excess
// kurtosis -0.30, ending at 3.45 standard deviations, like a normal distribution cut off there.
// That they differ is what makes it fine: 62491 values, 9239 units to a standard deviation, where
// equal weights would leave 1021 values. They are at most 64 because pmaddubsw adds two products in
// 16 bits.
//
// C++17: included by .cu files.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/philox.h"

namespace orchard::expand {

// Weights of the bytes, from the lowest: 64, 63, 62, 61.
constexpr uint32_t kNoiseWeights = 0x3D3E3F40u;

// Largest |WeightNoise|: the weights' sum times 127.5.
constexpr int32_t kMaxWeightNoise = 31875;

// 1 / standard deviation of `WeightNoise`, whose variance is (64^2 + 63^2 + 62^2 + 61^2) (2^16 - 1)
// / 12 = 85359337.5.
constexpr double kWeightNoiseUnit = 0.00010823668490431489;

ORCHARD_HD int32_t NoiseOfWord(uint32_t word) {
#if defined(__CUDA_ARCH__)
  return static_cast<int32_t>(__dp4a(word, kNoiseWeights, static_cast<unsigned>(-kMaxWeightNoise)));
#else
  return static_cast<int32_t>(64 * (word & 0xFFu) + 63 * (word >> 8 & 0xFFu) +
                              62 * (word >> 16 & 0xFFu) + 61 * (word >> 24)) -
         kMaxWeightNoise;
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
