#include "sync/algorithm_options.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace orchard::sync {
namespace {

SlabSparsity SlabOfList(const std::vector<int64_t>& list, double ratio, const char* key) {
  if (list.empty()) return {static_cast<int64_t>(std::llround(ratio)), 1, 1};
  if (list.size() != 3 || *std::min_element(list.begin(), list.end()) < 1) {
    throw UsageError("a slab is three numbers of at least 1", key, "I,O,L, for example 16,4,1");
  }
  return {list[0], list[1], list[2]};
}

SelectorOptions Selector(const CompressOptions& o, double ratio, const std::vector<int64_t>& slab,
                         const char* key) {
  SelectorOptions s;
  s.ratio = ratio;
  s.block = o.block;
  s.order = o.order;
  s.layout = o.layout;
  if (o.layout == BlockLayout::kOfficial) s.slab = SlabOfList(slab, ratio, key);
  return s;
}

bool HasCommonSupport(CompressorKind kind) {
  return kind == CompressorKind::kNone || kind == CompressorKind::kIdentity ||
         kind == CompressorKind::kGrbs || kind == CompressorKind::kRandomK;
}

int64_t AtLeastOne(double value) { return std::max<int64_t>(1, std::llround(value)); }

// The nearest power of two to the root of `ratio`.
double RootPower(double ratio) { return std::exp2(std::nearbyint(std::log2(std::sqrt(ratio)))); }

struct Division {
  double c1 = 1, c2 = 1;
  int64_t interval = 1;
};

Division Divide(AlgorithmKind kind, const CompressOptions& o) {
  const double r = o.ratio;
  switch (kind) {
    case AlgorithmKind::kCser: {
      if (r == 1) return {};
      const double root = std::exp2(std::ceil(std::log2(std::sqrt(2 * r) / 2)));
      const double c1 = o.c1_ratio.value_or(std::clamp(root, 2.0, 16.0));
      const double c2 = o.c2_ratio.value_or(2 * r);
      return {c1, c2, AtLeastOne(c2 / c1)};
    }
    case AlgorithmKind::kCserPl:
      return {RootPower(r), 1, AtLeastOne(r / RootPower(r))};
    case AlgorithmKind::kLocalSgd:
      return {1, 1, AtLeastOne(r)};
    case AlgorithmKind::kQsparse:
      return r >= 4 ? Division{r / 4, 1, 4} : Division{1, 1, AtLeastOne(r)};
    default:
      return {r, 1, 1};
  }
}

CompressorKind DefaultC1(AlgorithmKind kind) {
  switch (kind) {
    case AlgorithmKind::kLocalSgd:
      return CompressorKind::kIdentity;
    case AlgorithmKind::kTopKEf:
    case AlgorithmKind::kDgc:
    case AlgorithmKind::kEf21:
      return CompressorKind::kTopK;
    case AlgorithmKind::kRandomKEf:
      return CompressorKind::kRandomK;
    case AlgorithmKind::kSignEf:
      return CompressorKind::kSign;
    case AlgorithmKind::kInt8Ef:
      return CompressorKind::kInt8;
    default:
      return CompressorKind::kGrbs;
  }
}

// Whether an algorithm averages what all ranks select, when compressors select alike.
bool HasDenseMessage(AlgorithmKind kind) {
  return kind != AlgorithmKind::kDgc && kind != AlgorithmKind::kPowerSgd &&
         kind != AlgorithmKind::kEf21;
}

// Moments are averaged with the blocks that a step sends.
void CheckMoments(const AlgorithmOptions& algorithm, const CompressOptions& compress,
                  const ResolvedAlgorithm& r) {
  const bool second = algorithm.second_moment_sync != MomentumSync::kNone;
  if (!second && algorithm.momentum_sync == MomentumSync::kNone) return;
  const char* key = second ? "optim.second_moment_sync" : "optim.momentum_sync";
  if (!InCserFamily(algorithm.algo) || !r.common_support) {
    throw UsageError("moments are averaged by the cser family, with blocks that all ranks select",
                     key, "none");
  }
  if (r.delay > 0) throw UsageError("late means cannot be those of moments", key, "none");
  if (!second) return;
  const bool has = algorithm.base == BaseOptimizer::kAdam ||
                   algorithm.base == BaseOptimizer::kAdamW ||
                   algorithm.base == BaseOptimizer::kLamb;
  if (!has) throw UsageError("only adam, adamw and lamb have a second moment", key, "none");
  if (compress.wire != WireFormat::kFull) {
    // What rounding leaves out, kept by a rank, could make its second moment negative.
    throw UsageError("second moments travel in full messages", key, "--wire fp32");
  }
}

// Throws UsageError for options that an algorithm cannot follow.
void CheckFits(const AlgorithmOptions& algorithm, const CompressOptions& compress,
               const ResolvedAlgorithm& r) {
  CheckMoments(algorithm, compress, r);
  const bool family = InCserFamily(algorithm.algo);
  if (family && algorithm.impl == Implementation::kTwo && r.implementation != 2) {
    throw UsageError(
        "averaging models needs compressors that select the same places on all ranks, full "
        "messages, theta = 1 and no delay",
        "optim.impl", "--impl 1");
  }
  if (compress.wire != WireFormat::kFull && !r.common_support) {
    throw UsageError("a narrow wire needs messages that all ranks select alike", "compress.wire",
                     "--wire fp32, or --c1 grbs --c2 grbs");
  }
  if (r.delay > 0 && !(family && r.common_support)) {
    throw UsageError("only the cser family can apply means late, with blocks that all ranks select",
                     "compress.delay", "--delay 0");
  }
  if (compress.theta != 1 && !(family && r.common_support)) {
    throw UsageError("theta is of the cser family, with blocks that all ranks select",
                     "compress.theta", "--theta 1");
  }
  const bool unstaged = algorithm.algo == AlgorithmKind::kDgc ||
                        algorithm.algo == AlgorithmKind::kEf21 ||
                        algorithm.algo == AlgorithmKind::kPowerSgd;
  if (unstaged && compress.ratio_growth > 1) {
    throw UsageError(NameOf(algorithm.algo) + " has one ratio for the whole run",
                     "compress.ratio_growth", "--ratio-growth 1");
  }
  const bool own_optimizer =
      family || algorithm.algo == AlgorithmKind::kSgd || algorithm.algo == AlgorithmKind::kQsparse;
  if (algorithm.base != BaseOptimizer::kSgd && !own_optimizer) {
    throw UsageError(NameOf(algorithm.algo) + " is defined on SGD with momentum", "optim.base",
                     "--base sgd, or --algo cser");
  }
}

}  // namespace

std::string NameOf(AlgorithmKind kind) {
  for (const auto& entry : kAlgorithmKindNames) {
    if (entry.value == kind) return entry.name;
  }
  return "";
}

bool InCserFamily(AlgorithmKind kind) {
  return kind == AlgorithmKind::kCser || kind == AlgorithmKind::kCsea ||
         kind == AlgorithmKind::kCserPl || kind == AlgorithmKind::kLocalSgd ||
         kind == AlgorithmKind::kSparta;
}

ResolvedAlgorithm Resolve(const AlgorithmOptions& algorithm, const CompressOptions& compress) {
  const AlgorithmKind kind = algorithm.algo;
  const Division division = Divide(kind, compress);
  ResolvedAlgorithm r;
  r.interval = compress.interval.value_or(division.interval);
  r.c1 = compress.c1.value_or(DefaultC1(kind));
  if (kind == AlgorithmKind::kCser) r.c2 = compress.c2.value_or(CompressorKind::kGrbs);
  r.c1_selector = Selector(compress, compress.c1_ratio.value_or(division.c1), compress.c1_slab,
                           "compress.c1_slab");
  r.c2_selector = Selector(compress, compress.c2_ratio.value_or(division.c2), compress.c2_slab,
                           "compress.c2_slab");
  // SPARTA draws its parameters anew in every step.
  if (kind == AlgorithmKind::kSparta) r.c1_selector.order = BlockOrder::kUniform;
  r.common_support = kind == AlgorithmKind::kSgd ||
                     (HasCommonSupport(r.c1) && HasCommonSupport(r.c2) && HasDenseMessage(kind));
  r.delay = compress.delay.value_or(kind == AlgorithmKind::kSparta ? 1 : 0);
  const bool plain = compress.wire == WireFormat::kFull && compress.theta == 1 && r.delay == 0;
  r.implementation = algorithm.impl == Implementation::kOne || !r.common_support || !plain ? 1 : 2;
  CheckFits(algorithm, compress, r);
  return r;
}

}  // namespace orchard::sync
