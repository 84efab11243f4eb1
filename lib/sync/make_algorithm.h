// The constructors of the algorithms; private to this module.
#pragma once

#include <memory>

#include "sync/algorithm.h"

namespace orchard::sync {

// What every algorithm is made from.
struct AlgorithmSetting {
  const AlgorithmOptions& algorithm;
  const CompressOptions& compress;
  ResolvedAlgorithm resolved;
  const ArenaLayout& layout;
  uint64_t seed;
};

template <class T>
std::unique_ptr<Algorithm<T>> MakeDenseSgd(const AlgorithmSetting& setting);
// CSER and its special cases: CSEA, CSER-PL, local SGD.
template <class T>
std::unique_ptr<Algorithm<T>> MakeCser(const AlgorithmSetting& setting);
template <class T>
std::unique_ptr<Algorithm<T>> MakeErrorFeedback(const AlgorithmSetting& setting);
template <class T>
std::unique_ptr<Algorithm<T>> MakeQsparse(const AlgorithmSetting& setting);
template <class T>
std::unique_ptr<Algorithm<T>> MakeDgc(const AlgorithmSetting& setting);
template <class T>
std::unique_ptr<Algorithm<T>> MakePowerSgd(const AlgorithmSetting& setting);
template <class T>
std::unique_ptr<Algorithm<T>> MakeEf21(const AlgorithmSetting& setting);

template <class T>
StepScalars<T> ScalarsOf(const AlgorithmOptions& options, const StepInput<T>& input) {
  return {static_cast<T>(input.learning_rate), static_cast<T>(options.momentum),
          static_cast<T>(options.weight_decay), static_cast<T>(input.gradient_scale)};
}

}  // namespace orchard::sync
