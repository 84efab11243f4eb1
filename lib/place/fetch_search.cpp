#include "place/fetch_search.h"

#include <algorithm>
#include <memory>

#include "place/host_plan.h"

namespace orchard::place {
namespace {

// The same devices with links that nobody waits for.
Cluster WithFreeLinks(Cluster cluster) {
  cluster.comm = Comm::kParallel;
  return cluster;
}

class FetchSearch {
 public:
  FetchSearch(const Problem& problem, const std::vector<int32_t>& device,
              const std::vector<int32_t>& order, Time below, SearchBudget& budget)
      : problem_(problem),
        device_(device),
        order_(order),
        below_(below),
        budget_(budget),
        simulator_(problem.ops, problem.cluster),
        free_links_(WithFreeLinks(problem.cluster)),
        relaxed_(problem.ops, free_links_),
        plan_(KeepOnHost(problem.graph, problem.cluster, {})),
        of_device_(problem.cluster.size()) {
    for (int32_t i : order) of_device_[device[i]].push_back(i);
  }

  FetchSearchResult Run() {
    FetchSearchResult result;
    result.finished = Descend(0, -1);
    result.best = std::move(best_);
    return result;
  }

 private:
  // Tries what is chosen so far, with all other parameters on their devices, then adds fetches to
  // the end of device `d`'s link, the next one behind the operator at position `from` or a later
  // one, or leaves the device. False when the budget ran out.
  bool Descend(int32_t d, int32_t from) {
    if (from < 0 && plan_.fetches[d].empty() && d > 0) return Extend(d, from);  // as before
    if (!budget_.Spend()) return false;
    // A fetch more makes nothing earlier while links are free.
    if (Run(relaxed_) >= below_) return true;
    Try();
    return Extend(d, from);
  }

  bool Extend(int32_t d, int32_t from) {
    const std::vector<int32_t>& order = of_device_[d];
    const auto count = static_cast<int32_t>(order.size());
    for (int32_t at = 0; at < count; ++at) {
      const int32_t op = order[at];
      if (problem_.sizes.perm[op] == 0 || plan_.offloaded[op]) continue;
      plan_.offloaded[op] = 1;
      for (int32_t after = from; after < at; ++after) {
        plan_.fetches[d].push_back({op, {op}, after < 0 ? -1 : order[after]});
        const bool more = Descend(d, after);
        plan_.fetches[d].pop_back();
        if (!more) return false;
      }
      plan_.offloaded[op] = 0;
    }
    return d + 1 == problem_.cluster.size() || Descend(d + 1, -1);
  }

  Time Run(Simulator& simulator) {
    return simulator.RunWithHost(device_, order_, problem_.graph,
                                 std::make_shared<const HostPlan>(plan_));
  }

  void Try() {
    if (Run(simulator_) >= below_) return;
    Evaluated result;
    result.schedule = simulator_.Result();
    result.memory =
        ReplayMemory(problem_.sizes, problem_.ops, result.schedule, problem_.cluster.size());
    result.excess = Excess(result.memory.peak, problem_.cluster);
    if (!result.feasible()) return;
    below_ = result.schedule.makespan;
    best_ = std::move(result);
  }

  const Problem& problem_;
  const std::vector<int32_t>& device_;
  const std::vector<int32_t>& order_;
  Time below_;
  SearchBudget& budget_;
  Simulator simulator_;
  const Cluster free_links_;
  Simulator relaxed_;
  HostPlan plan_;
  std::vector<std::vector<int32_t>> of_device_;  // operators as they run
  std::optional<Evaluated> best_;
};

}  // namespace

FetchSearchResult SearchFetches(const Problem& problem, const std::vector<int32_t>& device,
                                const std::vector<int32_t>& order, Time below,
                                SearchBudget& budget) {
  return FetchSearch(problem, device, order, below, budget).Run();
}

}  // namespace orchard::place
