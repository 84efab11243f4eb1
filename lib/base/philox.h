// Philox4x32-10, a counter-based random number generator (Salmon et al., SC 2011): the value at a
// counter depends on (key, counter) alone, so random tensors have the same bits for any thread
// count, any split of the work and after a resume.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace orchard {

// Four 32-bit words, a block of random bits.
struct Philox4 {
  uint32_t word[4];
};

// 64-bit key: which random sequence. See `PhiloxKey` for how programs make one.
struct Philox2 {
  uint32_t word[2];
};

// The block at `counter` of the sequence `key`, ten rounds.
ORCHARD_HD Philox4 Philox(Philox2 key, Philox4 counter) {
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  uint32_t k0 = key.word[0], k1 = key.word[1];
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(product0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// The block at a 64-bit index of a stream: counter words 0, 1 hold the index and words 2, 3 the
// stream.
ORCHARD_HD Philox4 PhiloxAt(Philox2 key, uint64_t index, uint64_t stream = 0) {
  return Philox(key, {{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                       static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}});
}

// The key of (seed, purpose): a program hashes what the numbers are for (a tensor's name,
// "dropout", ...) with `Hash64` of base/hash.h. SplitMix64 finaliser over both, so that close seeds
// give unrelated keys.
ORCHARD_HD Philox2 PhiloxKey(uint64_t seed, uint64_t purpose) {
  uint64_t z = seed + 0x9E3779B97F4A7C15ull * (purpose + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return {{static_cast<uint32_t>(z), static_cast<uint32_t>(z >> 32)}};
}

// A near-normal integer: the sum of the block's eight 16-bit uniforms, centred. Integer arithmetic
// only, so that every compiler, vector width and GPU gives the same value. Range [-262140, 262140];
// variance 8 (2^32 - 1) / 12.
ORCHARD_HD int32_t NoiseInteger(const Philox4& block) {
  uint32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += (block.word[i] & 0xFFFFu) + (block.word[i] >> 16);
  return static_cast<int32_t>(sum) - 262140;
}

// 1 / standard deviation of `NoiseInteger`: sqrt(12 / (8 (2^32 - 1))).
inline constexpr double kNoiseUnit = 1.8688123650118534e-05;

// Uniform in [0, 1): 24 bits, exact in float.
ORCHARD_HD float UniformFloat(uint32_t word) {
  return static_cast<float>(word >> 8) * 5.9604644775390625e-08f;
}

// Uniform in [0, 1): 53 bits.
ORCHARD_HD double UniformDouble(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 11;
  return static_cast<double>(bits) * 1.1102230246251565e-16;
}

}  // namespace orchard
