// Noise integers over runs of consecutive elements: `NoiseInteger(PhiloxAt(key, base + l))` of each
// lane, and by far the largest cost of an expansion. Compilers widen Philox's 32 x 32 -> 64 bit
// products badly (5 times the instructions), so it is written out for the vectors at hand.
//
// A lane is a 64-bit element whose upper half may hold anything: the multiplication reads lower
// halves only, so a round is two products, two shifts and two exclusive ors.
#include "expand/lanes.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ORCHARD_X86_NOISE
#include <immintrin.h>

#include <initializer_list>
#endif

namespace orchard::expand {
namespace {

constexpr int kRounds = 10;

void ScalarNoise(Philox2 key, uint64_t base, int begin, int lanes, int32_t* noise) {
  for (int l = begin; l < lanes; ++l)
    noise[l] = NoiseInteger(PhiloxAt(key, base + static_cast<uint64_t>(l)));
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

// The halves of the four words, as signed numbers (minus 2^15), are added in pairs by one
// instruction: their sum + 4 is the noise integer.
__attribute__((target("avx512f,avx512bw"))) void Avx512Noise(Philox2 key, uint64_t base, int lanes,
                                                             int32_t* noise) {
  constexpr int kWidth = 8;
  const Schedule schedule(key);
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i step = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i sign = _mm512_set1_epi16(-0x8000), ones = _mm512_set1_epi16(1);
  int l = 0;
  for (; l + kWidth <= lanes; l += kWidth) {
    __m512i c0 = _mm512_add_epi64(
        _mm512_set1_epi64(static_cast<int64_t>(base + static_cast<uint64_t>(l))), step);
    __m512i c1 = _mm512_srli_epi64(c0, 32), c2 = _mm512_setzero_si512(), c3 = c2;
    for (int r = 0; r < kRounds; ++r) {
      const __m512i p0 = _mm512_mul_epu32(c0, m0), p1 = _mm512_mul_epu32(c2, m1);
      const __m512i k0 = _mm512_set1_epi64(static_cast<int64_t>(schedule.k0[r]));
      const __m512i k1 = _mm512_set1_epi64(static_cast<int64_t>(schedule.k1[r]));
      c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1, k0, 0x96);
      c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3, k1, 0x96);
      c1 = p1;
      c3 = p0;
    }
    __m512i sum = _mm512_set1_epi64(4);
    for (const __m512i word : {c0, c1, c2, c3}) {
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_xor_si512(word, sign), ones));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(noise + l), _mm512_cvtepi64_epi32(sum));
  }
  ScalarNoise(key, base, l, lanes, noise);
}

__attribute__((target("avx2"))) void Avx2Noise(Philox2 key, uint64_t base, int lanes,
                                               int32_t* noise) {
  constexpr int kWidth = 4;
  const Schedule schedule(key);
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  const __m256i step = _mm256_set_epi64x(3, 2, 1, 0);
  const __m256i sign = _mm256_set1_epi16(-0x8000), ones = _mm256_set1_epi16(1);
  const __m256i lower = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
  int l = 0;
  for (; l + kWidth <= lanes; l += kWidth) {
    __m256i c0 = _mm256_add_epi64(
        _mm256_set1_epi64x(static_cast<int64_t>(base + static_cast<uint64_t>(l))), step);
    __m256i c1 = _mm256_srli_epi64(c0, 32), c2 = _mm256_setzero_si256(), c3 = c2;
    for (int r = 0; r < kRounds; ++r) {
      const __m256i p0 = _mm256_mul_epu32(c0, m0), p1 = _mm256_mul_epu32(c2, m1);
      const __m256i k0 = _mm256_set1_epi64x(static_cast<int64_t>(schedule.k0[r]));
      const __m256i k1 = _mm256_set1_epi64x(static_cast<int64_t>(schedule.k1[r]));
      c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), k0);
      c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), k1);
      c1 = p1;
      c3 = p0;
    }
    __m256i sum = _mm256_set1_epi64x(4);
    for (const __m256i word : {c0, c1, c2, c3}) {
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_xor_si256(word, sign), ones));
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(noise + l),
                     _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(sum, lower)));
  }
  ScalarNoise(key, base, l, lanes, noise);
}

#endif

using NoiseFunction = void (*)(Philox2, uint64_t, int, int32_t*);

NoiseFunction ForThisProcessor() {
#ifdef ORCHARD_X86_NOISE
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return Avx512Noise;
  if (__builtin_cpu_supports("avx2")) return Avx2Noise;
#endif
  return [](Philox2 key, uint64_t base, int lanes, int32_t* noise) {
    ScalarNoise(key, base, 0, lanes, noise);
  };
}

}  // namespace

void NoiseLanes(Philox2 key, uint64_t base, int lanes, int32_t* noise) {
  static const NoiseFunction function = ForThisProcessor();
  function(key, base, lanes, noise);
}

}  // namespace orchard::expand
