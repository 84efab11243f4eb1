#include "place/min_cut.h"

#include <metis.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/error.h"
#include "place/levels.h"

namespace orchard::place {
namespace {

constexpr double kLargestSum = 1 << 30;

idx_t Scaled(Time weight, double scale) {
  if (weight == 0) return 0;
  return std::max<idx_t>(1, static_cast<idx_t>(static_cast<double>(weight) * scale));
}

double ScaleOf(double sum) { return sum > kLargestSum ? kLargestSum / sum : 1; }

}  // namespace

std::vector<int32_t> MinCut(const TaskGraph& tasks, const Cluster& cluster) {
  std::vector<int32_t> device(tasks.groups, 0);
  idx_t parts = std::min(cluster.size(), tasks.groups);
  if (parts < 2) return device;
  std::vector<std::map<int32_t, Time>> neighbours(tasks.groups);
  double edge_sum = 0;
  for (size_t e = 0; e < tasks.edges.size(); ++e) {
    const int32_t a = tasks.group[tasks.edges[e].src], b = tasks.group[tasks.edges[e].dst];
    if (a == b) continue;
    const Time cost = SummedEdgeCost(tasks, cluster, static_cast<int32_t>(e));
    neighbours[a][b] += cost;
    neighbours[b][a] += cost;
    edge_sum += static_cast<double>(cost);
  }
  std::vector<Time> work(tasks.groups, 0);
  for (int32_t i = 0; i < tasks.size(); ++i) work[tasks.group[i]] += tasks.work[i];
  const double work_scale = ScaleOf(static_cast<double>(tasks.TotalWork()));
  const double edge_scale = ScaleOf(edge_sum);
  std::vector<idx_t> begin = {0}, neighbour, edge_weight, vertex_weight, part(tasks.groups, 0);
  for (int32_t g = 0; g < tasks.groups; ++g) {
    vertex_weight.push_back(Scaled(work[g], work_scale));
    for (const auto& [other, cost] : neighbours[g]) {
      neighbour.push_back(other);
      edge_weight.push_back(std::max<idx_t>(1, Scaled(cost, edge_scale)));
    }
    begin.push_back(static_cast<idx_t>(neighbour.size()));
  }
  idx_t options[METIS_NOPTIONS];
  METIS_SetDefaultOptions(options);
  options[METIS_OPTION_SEED] = 0;
  options[METIS_OPTION_NUMBERING] = 0;
  idx_t vertices = tasks.groups, constraints = 1, cut = 0;
  real_t imbalance = 1.05F;
  static std::mutex one_at_a_time;  // METIS draws from the C library's generator
  const std::lock_guard lock(one_at_a_time);
  const int status = METIS_PartGraphKway(&vertices, &constraints, begin.data(), neighbour.data(),
                                         vertex_weight.data(), nullptr, edge_weight.data(), &parts,
                                         nullptr, &imbalance, options, &cut, part.data());
  if (status != METIS_OK) throw Error(ExitCode::kInternal, "METIS refuses the graph");
  std::copy(part.begin(), part.end(), device.begin());
  return device;
}

}  // namespace orchard::place
