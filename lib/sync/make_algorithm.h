// The constructors of the algorithms; private to this module.
#pragma once

#include <memory>

#include "sync/algorithm.h"
#include "sync/device.h"

namespace orchard::sync {

// What every algorithm is made from.
struct AlgorithmSetting {
  const AlgorithmOptions& algorithm;
  const CompressOptions& compress;
  ResolvedAlgorithm resolved;
  const ArenaLayout& layout;
  uint64_t seed;
  RatioStages stages;
  const Device& device;
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

}  // namespace orchard::sync
