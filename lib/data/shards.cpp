#include "data/shards.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/permutation.h"
#include "data/random_stream.h"

namespace orchard::data {
namespace {

using Shards = std::vector<std::vector<int64_t>>;

// Gamma(shape, 1) by Marsaglia and Tsang (2000); shapes below 1 by their boost.
double Gamma(RandomStream& random, double shape) {
  if (shape < 1) {
    const double boost = std::pow(1 - random.Uniform(), 1 / shape);
    return Gamma(random, shape + 1) * boost;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.Normal(), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - random.Uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

Shards Dirichlet(std::span<const int32_t> labels, int ranks, double alpha, uint64_t seed) {
  const int32_t classes = *std::max_element(labels.begin(), labels.end()) + 1;
  std::vector<std::vector<int64_t>> of_class(static_cast<size_t>(classes));
  for (int64_t i = 0; i < std::ssize(labels); ++i) of_class[labels[i]].push_back(i);
  Shards shards(static_cast<size_t>(ranks));
  for (int32_t c = 0; c < classes; ++c) {
    RandomStream random(seed, "data.shards.dirichlet", static_cast<uint64_t>(c));
    std::vector<double> parts(static_cast<size_t>(ranks));
    for (double& part : parts) part = Gamma(random, alpha);
    const double sum = std::accumulate(parts.begin(), parts.end(), 0.0);
    const auto size = std::ssize(of_class[c]);
    if (size == 0) continue;
    const Permutation order(size, seed, Hash64("data.shards.class"), static_cast<uint64_t>(c));
    double before = 0;
    int64_t at = 0;
    for (int r = 0; r < ranks; ++r) {
      before += parts[r];
      const int64_t end =
          r + 1 == ranks ? size : std::llround(before / sum * static_cast<double>(size));
      for (; at < end; ++at) shards[r].push_back(of_class[c][order(at)]);
    }
  }
  for (auto& shard : shards) std::sort(shard.begin(), shard.end());
  return shards;
}

}  // namespace

Shards MakeShards(std::span<const int32_t> labels, int ranks, ShardKind kind, double alpha,
                  uint64_t seed) {
  const auto count = std::ssize(labels);
  const int64_t each = count / ranks;
  if (each == 0) {
    throw UsageError("there are fewer samples than ranks",
                     std::to_string(count) + " samples, " + std::to_string(ranks) + " ranks");
  }
  if (kind == ShardKind::kDirichlet) {
    Shards shards = Dirichlet(labels, ranks, alpha, seed);
    for (int r = 0; r < ranks; ++r) {
      if (shards[r].empty()) {
        throw UsageError("the draw leaves a rank without samples", "rank " + std::to_string(r),
                         "a larger data.alpha, or another seed");
      }
    }
    return shards;
  }
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (kind == ShardKind::kShuffled) {
    const Permutation shuffled(count, seed, Hash64("data.shards"), 0);
    for (int64_t i = 0; i < count; ++i) order[i] = shuffled(i);
  } else if (kind == ShardKind::kByLabel) {
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return labels[a] < labels[b]; });
  }
  Shards shards(static_cast<size_t>(ranks));
  for (int64_t i = 0; i < each * ranks; ++i) {
    const int64_t rank = kind == ShardKind::kStrided ? i % ranks : i / each;
    shards[rank].push_back(order[i]);
  }
  return shards;
}

double LabelSkew(std::span<const int32_t> labels, const Shards& shards) {
  const int32_t classes = *std::max_element(labels.begin(), labels.end()) + 1;
  std::vector<double> all(static_cast<size_t>(classes));
  double total = 0;
  for (const auto& shard : shards) {
    for (const int64_t i : shard) ++all[labels[i]];
    total += static_cast<double>(shard.size());
  }
  double largest = 0;
  for (const auto& shard : shards) {
    std::vector<double> own(static_cast<size_t>(classes));
    for (const int64_t i : shard) ++own[labels[i]];
    double distance = 0;
    for (size_t c = 0; c < all.size(); ++c) {
      distance += 0.5 * std::abs(own[c] / static_cast<double>(shard.size()) - all[c] / total);
    }
    largest = std::max(largest, distance);
  }
  return largest;
}

}  // namespace orchard::data
