#include "place/pipeline_split.h"

#include <algorithm>
#include <limits>

#include "place/levels.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

constexpr int32_t kMaxBlocks = 1000;  // neighbours are joined beyond: the table is its square

// Groups in the order in which their first operator comes, joined into blocks of equal number.
struct Blocks {
  std::vector<int32_t> of_group;
  std::vector<double> work;  // of one micro-batch, at speed 1
  std::vector<double> cut;   // transfers across the boundary before each block, in ns
};

Blocks MakeBlocks(const Problem& problem) {
  const TaskGraph& tasks = problem.ops;
  const std::vector<StepOp>& ops = problem.graph.step->ops;
  Blocks blocks{std::vector<int32_t>(tasks.groups, -1), {}, {}};
  int32_t seen = 0;
  for (int32_t i : TopologicalTasks(tasks)) {
    int32_t& block = blocks.of_group[tasks.group[i]];
    if (block < 0) block = seen++;
  }
  const int32_t join = (seen + kMaxBlocks - 1) / kMaxBlocks;
  const int32_t count = (seen + join - 1) / join;
  for (int32_t& block : blocks.of_group) block /= join;
  blocks.work.assign(count, 0);
  blocks.cut.assign(count + 1, 0);
  for (int32_t i = 0; i < tasks.size(); ++i) {
    if (ops[i].microbatch == 0 && ops[i].kind != StepKind::kUpdate)
      blocks.work[blocks.of_group[tasks.group[i]]] += static_cast<double>(tasks.work[i]);
  }
  for (size_t t = 0; t < tasks.tensors.size(); ++t) {
    const int32_t h = tasks.tensors[t].producer;
    if (ops[h].microbatch != 0) continue;
    int32_t low = blocks.of_group[tasks.group[h]], high = low;
    for (int32_t e = tasks.out_begin[h]; e < tasks.out_begin[h + 1]; ++e) {
      const auto list = tasks.TensorsOf(e);
      if (std::find(list.begin(), list.end(), static_cast<int32_t>(t)) == list.end()) continue;
      const int32_t at = blocks.of_group[tasks.group[tasks.edges[e].dst]];
      low = std::min(low, at);
      high = std::max(high, at);
    }
    const Time cost =
        high > low ? problem.cluster.MeanCost(tasks.tensors[t].bytes, tasks.tensors[t].us) : 0;
    for (int32_t b = low + 1; b <= high; ++b) blocks.cut[b] += static_cast<double>(cost);
  }
  return blocks;
}

// Ends of the intervals of blocks with the smallest largest load.
std::vector<int32_t> Cut(const Blocks& blocks, const Cluster& cluster, int32_t stages,
                         bool count_transfers) {
  const auto n = static_cast<int32_t>(blocks.work.size());
  std::vector<double> sum(n + 1, 0);
  for (int32_t b = 0; b < n; ++b) sum[b + 1] = sum[b] + blocks.work[b];
  const auto load = [&](int32_t from, int32_t to, int32_t stage) {
    const double transfers = count_transfers ? blocks.cut[from] + blocks.cut[to] : 0;
    return (sum[to] - sum[from]) / cluster.devices[stage].speed + transfers;
  };
  // best[s][b]: the largest load of the first s + 1 stages over the first b blocks.
  std::vector<std::vector<double>> best(stages, std::vector<double>(n + 1));
  std::vector<std::vector<int32_t>> from(stages, std::vector<int32_t>(n + 1, 0));
  for (int32_t b = 0; b <= n; ++b) best[0][b] = load(0, b, 0);
  for (int32_t s = 1; s < stages; ++s) {
    for (int32_t b = 0; b <= n; ++b) {
      best[s][b] = std::numeric_limits<double>::infinity();
      for (int32_t a = 0; a <= b; ++a) {
        const double largest = std::max(best[s - 1][a], load(a, b, s));
        if (largest < best[s][b]) {
          best[s][b] = largest;
          from[s][b] = a;
        }
      }
    }
  }
  std::vector<int32_t> ends(stages, n);
  for (int32_t s = stages - 1; s > 0; --s) ends[s - 1] = from[s][ends[s]];
  return ends;
}

}  // namespace

std::vector<int32_t> SplitPipeline(const Problem& problem, int32_t stages, bool count_transfers) {
  const Blocks blocks = MakeBlocks(problem);
  const std::vector<int32_t> ends = Cut(blocks, problem.cluster, stages, count_transfers);
  std::vector<int32_t> device(problem.ops.size());
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    const int32_t g = problem.ops.group[i];
    const auto stage = std::upper_bound(ends.begin(), ends.end() - 1, blocks.of_group[g]);
    device[i] = problem.group_pin[g] >= 0 ? problem.group_pin[g]
                                          : static_cast<int32_t>(stage - ends.begin());
  }
  return LowerToForward(*problem.graph.step, device);
}

}  // namespace orchard::place
