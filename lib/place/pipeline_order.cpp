#include "place/pipeline_order.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

namespace orchard::place {
namespace {

constexpr int64_t kFar = int64_t{1} << 40;  // beyond any micro-batch

// When a pass is due, in units of passes. With 1F1B these are the times at which the passes of a
// pipeline with equal stages start, the deepest stage's first one at 0, so that whatever depends on
// another device's pass is due later than that.
int64_t Due(const StepOp& op, Pipeline schedule, int64_t height) {
  const int64_t m = op.microbatch;
  switch (op.kind) {
    case StepKind::kForward:
      if (op.once) return -kFar;
      return schedule == Pipeline::kGpipe ? m : 2 * m - height;
    case StepKind::kRecompute:  // `rank` says when, among the backward pass
    case StepKind::kBackward:
      if (op.once) return 2 * kFar;
      return schedule == Pipeline::kGpipe ? kFar + m : 2 * m + height + 1;
    case StepKind::kUpdate:
      return 3 * kFar;
  }
  return 0;
}

}  // namespace

std::optional<std::vector<int32_t>> PipelineHeights(const Graph& step,
                                                    const std::vector<int32_t>& device,
                                                    int32_t devices) {
  const std::vector<StepOp>& ops = step.step->ops;
  std::set<std::pair<int32_t, int32_t>> edges;  // (to, from)
  for (const Edge& edge : step.edges) {
    const StepOp &src = ops[edge.src], &dst = ops[edge.dst];
    const bool forward = src.kind == StepKind::kForward && dst.kind == StepKind::kForward;
    if (forward && !src.once && device[edge.src] != device[edge.dst])
      edges.emplace(device[edge.dst], device[edge.src]);
  }
  // Relaxed as often as there are devices; a path that still grows then runs in a circle.
  std::vector<int32_t> height(devices, 0);
  for (int32_t round = 0; round <= devices; ++round) {
    bool changed = false;
    for (const auto& [to, from] : edges) {
      if (height[from] > height[to]) continue;
      height[from] = height[to] + 1;
      changed = true;
    }
    if (!changed) return height;
  }
  return std::nullopt;
}

std::vector<int32_t> PipelineOrder(const Graph& step, const std::vector<int32_t>& device,
                                   Pipeline schedule, const std::vector<int32_t>& heights,
                                   const std::vector<int32_t>& rank) {
  const std::vector<StepOp>& ops = step.step->ops;
  const int32_t forwards = step.step->forward.size();
  std::vector<std::tuple<int64_t, int32_t, int32_t>> keys;
  keys.reserve(ops.size());
  for (int32_t s = 0; s < step.size(); ++s) {
    const int64_t height = heights.empty() ? 0 : heights[device[s]];
    const int32_t at = static_cast<int32_t>(ops[s].kind) * forwards + ops[s].forward;
    keys.emplace_back(Due(ops[s], schedule, height), rank[at], s);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int32_t> order;
  order.reserve(ops.size());
  for (const auto& [due, within, s] : keys) order.push_back(s);
  return order;
}

std::vector<uint8_t> Updates(const Graph& graph) {
  std::vector<uint8_t> update;
  if (!graph.step) return update;
  for (const StepOp& op : graph.step->ops) update.push_back(op.kind == StepKind::kUpdate);
  return update;
}

bool LocalUpdates(const Problem& problem, const std::vector<int32_t>& device) {
  const std::vector<uint8_t> update = Updates(problem.graph);
  return update.empty() ||
         std::all_of(problem.ops.edges.begin(), problem.ops.edges.end(), [&](const Edge& edge) {
           return !update[edge.dst] || device[edge.src] == device[edge.dst];
         });
}

void UpdatesLast(const Graph& step, std::vector<int32_t>& order) {
  const std::vector<StepOp>& ops = step.step->ops;
  std::stable_partition(order.begin(), order.end(),
                        [&](int32_t s) { return ops[s].kind != StepKind::kUpdate; });
}

}  // namespace orchard::place
