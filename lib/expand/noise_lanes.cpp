// Noise integers over runs of consecutive elements: `WeightNoise(key, base + l)` of each lane.
// Compilers widen Philox's 32 x 32 -> 64 bit products badly (5 times the instructions), so it is
// written out for the vectors at hand.
//
// A block sits in a 64-bit element whose upper half may hold anything: the multiplication reads
// lower halves only, so a round is two products, two shifts and two exclusive ors. Two vectors of
// blocks are under way at once, because every round waits for the product before it. The blocks of
// a vector are numbered so that interleaving their words in pairs leaves the elements in order.
#include "expand/lanes.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ORCHARD_X86_NOISE
#include <immintrin.h>
#endif

namespace orchard::expand {
namespace {

constexpr int kRounds = 10;

// Noise of the elements of blocks [first, first + blocks).
void ScalarNoise(Philox2 key, uint64_t first, int blocks, int32_t* noise) {
  for (int b = 0; b < blocks; ++b) {
    const Philox4 block = NoiseBlock(key, first + static_cast<uint64_t>(b));
    for (int i = 0; i < 4; ++i) noise[4 * b + i] = NoiseOfWord(block.word[i]);
  }
}

#ifdef ORCHARD_X86_NOISE

// The keys of the rounds.
struct Schedule {
  explicit Schedule(Philox2 key) {
    for (int r = 0; r < kRounds; ++r) {
      k0[r] = key.word[0] + 0x9E3779B9u * static_cast<uint32_t>(r);
      k1[r] = key.word[1] + 0xBB67AE85u * static_cast<uint32_t>(r);
    }
  }
  uint64_t k0[kRounds], k1[kRounds];
};

// The words of 8 and of 4 blocks.
struct EightBlocks {
  __m512i c0, c1, c2, c3;
};
struct FourBlocks {
  __m256i c0, c1, c2, c3;
};

#define ORCHARD_AVX512 __attribute__((target("avx512f,avx512bw"), always_inline)) inline

ORCHARD_AVX512 void Round(EightBlocks& b, __m512i k0, __m512i k1) {
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i p0 = _mm512_mul_epu32(b.c0, m0), p1 = _mm512_mul_epu32(b.c2, m1);
  b.c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), b.c1, k0, 0x96);
  b.c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), b.c3, k1, 0x96);
  b.c1 = p1;
  b.c3 = p0;
}

ORCHARD_AVX512 EightBlocks StartAvx512(uint64_t first) {
  const __m512i step = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
  const __m512i c0 = _mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(first)), step);
  return {c0, _mm512_srli_epi64(c0, 32), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

// `NoiseOfWord` of each 32-bit word.
ORCHARD_AVX512 __m512i NoiseOfWords(__m512i words) {
  const __m512i pairs = _mm512_maddubs_epi16(words, _mm512_set1_epi32(kNoiseWeights));
  const __m512i sums = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
  return _mm512_sub_epi32(sums, _mm512_set1_epi32(kMaxWeightNoise));
}

ORCHARD_AVX512 void Store(const EightBlocks& b, int32_t* noise) {
  const __mmask16 odd = 0xAAAA;
  const __m512i low = _mm512_mask_blend_epi32(odd, b.c0, _mm512_slli_epi64(b.c1, 32));
  const __m512i high = _mm512_mask_blend_epi32(odd, b.c2, _mm512_slli_epi64(b.c3, 32));
  _mm512_storeu_si512(noise, NoiseOfWords(_mm512_unpacklo_epi64(low, high)));
  _mm512_storeu_si512(noise + 16, NoiseOfWords(_mm512_unpackhi_epi64(low, high)));
}

__attribute__((target("avx512f,avx512bw"))) void Avx512Noise(Philox2 key, uint64_t first,
                                                             int blocks, int32_t* noise) {
  constexpr int kWidth = 16;
  const Schedule schedule(key);
  for (int b = 0; b < blocks; b += kWidth) {
    const uint64_t at = first + static_cast<uint64_t>(b);
    EightBlocks even = StartAvx512(at), odd = StartAvx512(at + 8);
    for (int r = 0; r < kRounds; ++r) {
      const __m512i k0 = _mm512_set1_epi64(static_cast<int64_t>(schedule.k0[r]));
      const __m512i k1 = _mm512_set1_epi64(static_cast<int64_t>(schedule.k1[r]));
      Round(even, k0, k1);
      Round(odd, k0, k1);
    }
    Store(even, noise + 4 * b);
    Store(odd, noise + 4 * b + 32);
  }
}

#define ORCHARD_AVX2 __attribute__((target("avx2"), always_inline)) inline

ORCHARD_AVX2 void Round(FourBlocks& b, __m256i k0, __m256i k1) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  const __m256i p0 = _mm256_mul_epu32(b.c0, m0), p1 = _mm256_mul_epu32(b.c2, m1);
  b.c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), b.c1), k0);
  b.c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), b.c3), k1);
  b.c1 = p1;
  b.c3 = p0;
}

ORCHARD_AVX2 FourBlocks StartAvx2(uint64_t first) {
  const __m256i step = _mm256_set_epi64x(3, 1, 2, 0);
  const __m256i c0 = _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first)), step);
  return {c0, _mm256_srli_epi64(c0, 32), _mm256_setzero_si256(), _mm256_setzero_si256()};
}

ORCHARD_AVX2 __m256i NoiseOfWords(__m256i words) {
  const __m256i pairs = _mm256_maddubs_epi16(words, _mm256_set1_epi32(kNoiseWeights));
  const __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  return _mm256_sub_epi32(sums, _mm256_set1_epi32(kMaxWeightNoise));
}

ORCHARD_AVX2 void Store(const FourBlocks& b, int32_t* noise) {
  const __m256i low = _mm256_blend_epi32(b.c0, _mm256_slli_epi64(b.c1, 32), 0xAA);
  const __m256i high = _mm256_blend_epi32(b.c2, _mm256_slli_epi64(b.c3, 32), 0xAA);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(noise),
                      NoiseOfWords(_mm256_unpacklo_epi64(low, high)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(noise + 8),
                      NoiseOfWords(_mm256_unpackhi_epi64(low, high)));
}

__attribute__((target("avx2"))) void Avx2Noise(Philox2 key, uint64_t first, int blocks,
                                               int32_t* noise) {
  constexpr int kWidth = 8;
  const Schedule schedule(key);
  for (int b = 0; b < blocks; b += kWidth) {
    const uint64_t at = first + static_cast<uint64_t>(b);
    FourBlocks even = StartAvx2(at), odd = StartAvx2(at + 4);
    for (int r = 0; r < kRounds; ++r) {
      const __m256i k0 = _mm256_set1_epi64x(static_cast<int64_t>(schedule.k0[r]));
      const __m256i k1 = _mm256_set1_epi64x(static_cast<int64_t>(schedule.k1[r]));
      Round(even, k0, k1);
      Round(odd, k0, k1);
    }
    Store(even, noise + 4 * b);
    Store(odd, noise + 4 * b + 16);
  }
}

#endif

}  // namespace

std::vector<NoiseVariant> NoiseVariants() {
  std::vector<NoiseVariant> variants;
#ifdef ORCHARD_X86_NOISE
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    variants.push_back({"AVX-512", Avx512Noise});
  }
  if (__builtin_cpu_supports("avx2")) variants.push_back({"AVX2", Avx2Noise});
#endif
  variants.push_back({"scalar", ScalarNoise});
  return variants;
}

// Whole vectors of blocks are drawn: up to 63 elements more than asked for.
const int32_t* NoiseLanes(Philox2 key, uint64_t base, int lanes, int32_t* room) {
  static const auto function = NoiseVariants().front().function;
  const int skipped = static_cast<int>(base % 4);
  function(key, base / 4, (skipped + lanes + 3) / 4, room);
  return room + skipped;
}

}  // namespace orchard::expand
