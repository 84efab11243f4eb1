#include "sync/make_algorithm.h"

namespace orchard::sync {

template <class T>
std::unique_ptr<Algorithm<T>> MakeAlgorithm(const AlgorithmOptions& algorithm,
                                            const CompressOptions& compress,
                                            const ArenaLayout& layout, uint64_t seed,
                                            const RatioStages& stages, const Device& device) {
  const AlgorithmSetting setting{algorithm,
                                 compress,
                                 Resolve(algorithm, compress),
                                 layout,
                                 seed + static_cast<uint64_t>(compress.draw_seed),
                                 stages,
                                 device};
  switch (algorithm.algo) {
    case AlgorithmKind::kSgd:
      return MakeDenseSgd<T>(setting);
    case AlgorithmKind::kCser:
    case AlgorithmKind::kCsea:
    case AlgorithmKind::kCserPl:
    case AlgorithmKind::kSparta:
    case AlgorithmKind::kLocalSgd:
      return MakeCser<T>(setting);
    case AlgorithmKind::kQsparse:
      return MakeQsparse<T>(setting);
    case AlgorithmKind::kEfSgd:
    case AlgorithmKind::kTopKEf:
    case AlgorithmKind::kRandomKEf:
    case AlgorithmKind::kSignEf:
    case AlgorithmKind::kInt8Ef:
      return MakeErrorFeedback<T>(setting);
    case AlgorithmKind::kDgc:
      return MakeDgc<T>(setting);
    case AlgorithmKind::kPowerSgd:
      return MakePowerSgd<T>(setting);
    case AlgorithmKind::kEf21:
      return MakeEf21<T>(setting);
  }
  return nullptr;
}

template <class T>
double TrueRatio(const Algorithm<T>& algorithm, const ArenaLayout& layout, int ranks,
                 int64_t steps) {
  // With one rank nothing is sent; the ratio is then that of two.
  const int n = ranks > 1 ? ranks : 2;
  Message sum;
  for (int64_t t = 1; t <= steps; ++t) sum += algorithm.MessageOf(t, n);
  const Message dense{.reduced = layout.size() * steps};
  return BytesSent(dense, n, sizeof(T)) / BytesSent(sum, n, sizeof(T));
}

#define ORCHARD_INSTANTIATE(T)                                                       \
  template std::unique_ptr<Algorithm<T>> MakeAlgorithm(                              \
      const AlgorithmOptions&, const CompressOptions&, const ArenaLayout&, uint64_t, \
      const RatioStages&, const Device&);                                            \
  template double TrueRatio(const Algorithm<T>&, const ArenaLayout&, int, int64_t);
ORCHARD_INSTANTIATE(float)
ORCHARD_INSTANTIATE(double)
#undef ORCHARD_INSTANTIATE

}  // namespace orchard::sync
