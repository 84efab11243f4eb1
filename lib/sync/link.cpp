#include "sync/link.h"

#include <algorithm>
#include <chrono>

namespace orchard::sync {

LinkModel FitLink(std::span<const AllReduceTime> times, int ranks) {
  // seconds = a + b bytes, weighted by 1 / seconds^2.
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (const AllReduceTime& t : times) {
    const double weight = 1 / (t.seconds * t.seconds);
    w += weight;
    wx += weight * t.bytes;
    wy += weight * t.seconds;
    wxx += weight * t.bytes * t.bytes;
    wxy += weight * t.bytes * t.seconds;
  }
  const double slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const double constant = std::max(0.0, (wy - slope * wx) / w);
  const double n = ranks;
  // Where noise hides the slope the largest message bounds it.
  const double fastest = times.back().seconds / times.back().bytes;
  return {constant / (2 * (n - 1)), 2 * (n - 1) / n / (slope > 0 ? slope : fastest)};
}

std::vector<AllReduceTime> TimeAllReduces(comm::Communicator& ranks, double longest) {
  constexpr int kRuns = 7;
  constexpr int64_t kLargest = int64_t{16} << 20;
  std::vector<AllReduceTime> times;
  for (int64_t bytes = 1024; bytes <= kLargest; bytes *= 4) {
    std::vector<float> buffer(static_cast<size_t>(bytes) / sizeof(float));
    std::vector<double> runs;
    for (int run = 0; run <= kRuns; ++run) {
      ranks.Barrier();
      const auto begin = std::chrono::steady_clock::now();
      ranks.AllReduce(std::span<float>(buffer));
      const double own =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      std::vector<double> all(static_cast<size_t>(ranks.size()));
      const std::vector<int64_t> counts(all.size(), 1);
      ranks.AllGather(std::span<const double>(&own, 1), std::span<double>(all), counts);
      const double slowest = *std::max_element(all.begin(), all.end());
      if (run == 0) continue;  // sets connections up
      runs.push_back(slowest);
      if (slowest > longest) break;
    }
    std::nth_element(runs.begin(), runs.begin() + std::ssize(runs) / 2, runs.end());
    times.push_back({static_cast<double>(bytes), runs[runs.size() / 2]});
    if (times.back().seconds > longest) break;
  }
  return times;
}

}  // namespace orchard::sync
