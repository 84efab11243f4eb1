#include <algorithm>
#include <cmath>
#include <numeric>

#include "place/levels.h"
#include "place/sct.h"

namespace orchard::place {

Favourites RoundFavourites(const TaskGraph& tasks, const std::vector<double>& x, double theta,
                           Rounding rounding) {
  Favourites result;
  result.child.assign(tasks.size(), -1);
  result.parent.assign(tasks.size(), -1);
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    const bool favourite = rounding == Rounding::kPublished
                               ? std::nearbyint(x[e] - theta + 0.5) == 0
                               : x[e] < theta - 1e-6;
    if (!favourite) continue;
    const auto [i, j] = tasks.edges[e];
    result.child[i] = j;
    if (result.parent[j] >= 0) result.child[result.parent[j]] = -1;
    result.parent[j] = i;
  }
  return result;
}

Favourites MatchFavourites(const TaskGraph& tasks, const Cluster& cluster) {
  const Levels levels = PathLevels(tasks, cluster, tasks.work);
  std::vector<double> weight(tasks.edges.size());
  for (size_t e = 0; e < weight.size(); ++e) {
    const auto [i, j] = tasks.edges[e];
    const Time cost = EdgeCost(tasks, cluster, static_cast<int32_t>(e));
    const Time path = levels.top[i] + tasks.work[i] + cost + levels.bottom[j];
    weight[e] = static_cast<double>(cost) * static_cast<double>(path);
  }
  std::vector<int32_t> order(weight.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return weight[a] > weight[b]; });
  Favourites result;
  result.child.assign(tasks.size(), -1);
  result.parent.assign(tasks.size(), -1);
  for (int32_t e : order) {
    const auto [i, j] = tasks.edges[e];
    if (result.child[i] >= 0 || result.parent[j] >= 0) continue;
    result.child[i] = j;
    result.parent[j] = i;
  }
  return result;
}

}  // namespace orchard::place
