#include "base/machine_rates.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "base/thread_pool.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define ORCHARD_X86_RATES
#include <immintrin.h>
#endif

namespace orchard {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsOf(ThreadPool& pool, const std::function<void(int64_t)>& task) {
  const Clock::time_point begin = Clock::now();
  pool.ForEach(pool.threads(), task);
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Chains of multiply-adds, as many as hide the latency of one: `kChains` vectors, `steps` times.
constexpr int kChains = 12;

// Unrolled, or the vectors would live in memory.
#define ORCHARD_CHAINS(name, isa, Vector, Scalar, set1, fma, store)        \
  __attribute__((target(isa))) double name(int64_t steps) {                \
    Vector x[kChains];                                                     \
    _Pragma("GCC unroll 12") for (int c = 0; c < kChains; ++c) {           \
      x[c] = set1(static_cast<Scalar>(c));                                 \
    }                                                                      \
    const Vector factor = set1(Scalar(0.999)), term = set1(Scalar(0.001)); \
    for (int64_t s = 0; s < steps; ++s) {                                  \
      _Pragma("GCC unroll 12") for (int c = 0; c < kChains; ++c) {         \
        x[c] = fma(x[c], factor, term);                                    \
      }                                                                    \
    }                                                                      \
    Scalar lanes[sizeof(Vector) / sizeof(Scalar)];                         \
    double sum = 0;                                                        \
    _Pragma("GCC unroll 12") for (int c = 0; c < kChains; ++c) {           \
      store(lanes, x[c]);                                                  \
      sum += lanes[0];                                                     \
    }                                                                      \
    return sum;                                                            \
  }

#ifdef ORCHARD_X86_RATES
ORCHARD_CHAINS(F32Avx512, "avx512f", __m512, float, _mm512_set1_ps, _mm512_fmadd_ps,
               _mm512_storeu_ps)
ORCHARD_CHAINS(F64Avx512, "avx512f", __m512d, double, _mm512_set1_pd, _mm512_fmadd_pd,
               _mm512_storeu_pd)
ORCHARD_CHAINS(F32Avx2, "avx2,fma", __m256, float, _mm256_set1_ps, _mm256_fmadd_ps,
               _mm256_storeu_ps)
ORCHARD_CHAINS(F64Avx2, "avx2,fma", __m256d, double, _mm256_set1_pd, _mm256_fmadd_pd,
               _mm256_storeu_pd)
#endif
#undef ORCHARD_CHAINS

// One multiplication and one addition a step and chain, for processors without the above.
template <class Scalar>
double Plain(int64_t steps) {
  Scalar x[kChains];
  for (int c = 0; c < kChains; ++c) x[c] = static_cast<Scalar>(c);
  for (int64_t s = 0; s < steps; ++s) {
    for (Scalar& value : x) value = value * Scalar(0.999) + Scalar(0.001);
  }
  double sum = 0;
  for (const Scalar value : x) sum += value;
  return sum;
}

struct Chains {
  double (*run)(int64_t steps);
  int lanes;
};

Chains BestChains(bool f64) {
#ifdef ORCHARD_X86_RATES
  if (__builtin_cpu_supports("avx512f")) return f64 ? Chains{F64Avx512, 8} : Chains{F32Avx512, 16};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return f64 ? Chains{F64Avx2, 4} : Chains{F32Avx2, 8};
  }
#endif
  return f64 ? Chains{Plain<double>, 1} : Chains{Plain<float>, 1};
}

double Flops(ThreadPool& pool, bool f64) {
  const Chains chains = BestChains(f64);
  constexpr int64_t kSteps = 4'000'000;
  std::vector<double> sums(pool.threads());
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const double seconds = SecondsOf(pool, [&](int64_t t) { sums[t] = chains.run(kSteps); });
    const double operations = 2.0 * kChains * chains.lanes * kSteps * pool.threads();
    best = std::max(best, sums[0] != -1 ? operations / seconds : 0);
  }
  return best;
}

double CopyRate(ThreadPool& pool) {
  constexpr size_t kBytes = size_t{128} << 20;
  std::vector<std::vector<char>> from(pool.threads()), to(pool.threads());
  SecondsOf(pool, [&](int64_t t) {
    from[t].assign(kBytes, 1);
    to[t].assign(kBytes, 0);
  });
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    const double seconds =
        SecondsOf(pool, [&](int64_t t) { std::memcpy(to[t].data(), from[t].data(), kBytes); });
    best = std::max(best, 2.0 * kBytes * pool.threads() / seconds);
  }
  return best;
}

}  // namespace

MachineRates MeasureMachineRates(int threads) {
  ThreadPool pool(std::max(1, threads));
  return {CopyRate(pool), Flops(pool, false), Flops(pool, true)};
}

}  // namespace orchard
