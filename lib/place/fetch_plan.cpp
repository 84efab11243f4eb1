#include "place/fetch_plan.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>

namespace orchard::place {
namespace {

constexpr int kRounds = 3;  // with that much less room as a plan overran

bool Faster(const Evaluated& a, const Evaluated& b) {
  return std::tuple(a.excess, a.schedule.makespan) < std::tuple(b.excess, b.schedule.makespan);
}

}  // namespace

FetchPlanner::FetchPlanner(const Problem& problem, const Evaluated& base)
    : problem_(problem),
      base_(base),
      simulator_(problem.ops, problem.cluster),
      readers_(ParameterReaders(problem.graph)),
      position_(problem.ops.size(), -1) {}

std::vector<FetchPlanner::Visits> FetchPlanner::SingleVisits(const HostPlan& plan) const {
  std::vector<Visits> visits(order_.size());
  for (int32_t i = 0; i < problem_.ops.size(); ++i) {
    if (!plan.offloaded[i]) continue;
    const int32_t d = base_.schedule.device[i];
    for (int32_t reader : readers_[i]) {
      const int32_t at = position_[reader];
      Visit visit{i, at, at, {reader}, at - 1, problem_.sizes.fetched[i], at};
      if (problem_.sizes.perm_is_output[i] && reader == i) {
        for (int32_t e = problem_.ops.out_begin[i]; e < problem_.ops.out_begin[i + 1]; ++e) {
          const int32_t j = problem_.ops.edges[e].dst;
          if (base_.schedule.device[j] == d) visit.hold = std::max(visit.hold, position_[j]);
        }
      }
      visits[d].push_back(std::move(visit));
    }
  }
  for (Visits& list : visits) {
    std::sort(list.begin(), list.end(),
              [](const Visit& a, const Visit& b) { return a.first < b.first; });
  }
  return visits;
}

Evaluated FetchPlanner::Run(HostPlan plan, const std::vector<Visits>& visits) {
  std::vector<int32_t> order;
  for (size_t d = 0; d < order_.size(); ++d) {
    order.insert(order.end(), order_[d].begin(), order_[d].end());
    plan.fetches[d].clear();
    for (const Visit& visit : visits[d]) {
      plan.fetches[d].push_back(
          {visit.op, visit.readers, visit.after < 0 ? -1 : order_[d][visit.after]});
    }
  }
  simulator_.RunWithHost(base_.schedule.device, order, problem_.graph,
                         std::make_shared<const HostPlan>(std::move(plan)));
  Evaluated result;
  result.schedule = simulator_.Result();
  result.memory =
      ReplayMemory(problem_.sizes, problem_.ops, result.schedule, problem_.cluster.size());
  result.excess = Excess(result.memory.peak, problem_.cluster);
  return result;
}

Evaluated FetchPlanner::Late(const std::vector<int32_t>& ops) {
  HostPlan plan = KeepOnHost(problem_.graph, problem_.cluster, ops);
  order_ = base_.schedule.order;
  std::fill(position_.begin(), position_.end(), -1);
  for (auto& order : order_) {
    std::erase_if(order, [&](int32_t i) { return plan.on_host[i]; });
    for (size_t k = 0; k < order.size(); ++k) position_[order[k]] = static_cast<int32_t>(k);
  }
  const std::vector<Visits> visits = SingleVisits(plan);
  return Run(std::move(plan), visits);
}

// By position, from the times of `late`: good for its order, and close to what another plan for the
// same order leaves.
FetchPlanner::Room FetchPlanner::RoomWithoutFetches(const Evaluated& late) const {
  Schedule without = late.schedule;
  for (auto& fetches : without.fetches) fetches.clear();
  const MemoryUse memory =
      ReplayMemory(problem_.sizes, problem_.ops, without, problem_.cluster.size(), true);
  Room room(order_.size());
  for (size_t d = 0; d < order_.size(); ++d) {
    const auto& curve = memory.curve[d];
    size_t at = 0;
    Time from = 0;
    for (int32_t i : order_[d]) {
      const Time to = late.schedule.end[i];
      while (at + 1 < curve.size() && curve[at + 1].first <= from) ++at;
      int64_t most = curve[at].second;
      for (size_t k = at + 1; k < curve.size() && curve[k].first < to; ++k)
        most = std::max(most, curve[k].second);
      const int64_t limit = problem_.cluster.devices[d].memory;
      room[d].push_back(limit - most);
      from = to;
    }
  }
  return room;
}

void FetchPlanner::Take(std::vector<int64_t>& room, int32_t first, int32_t last, int64_t bytes) {
  for (int32_t k = first; k <= last; ++k) room[k] -= bytes;
}

// Lets parameters stay from one reader to the next where there is room all the time, the shortest
// stays first.
void FetchPlanner::Join(Visits& visits, std::vector<int64_t>& room) {
  struct Gap {
    size_t before, behind;
    int32_t length;
  };
  std::vector<Gap> gaps;
  std::unordered_map<int32_t, size_t> last_of;
  for (size_t v = 0; v < visits.size(); ++v) {
    const auto last = last_of.find(visits[v].op);
    if (last != last_of.end())
      gaps.push_back({last->second, v, visits[v].first - visits[last->second].hold});
    last_of[visits[v].op] = v;
  }
  std::stable_sort(gaps.begin(), gaps.end(),
                   [](const Gap& a, const Gap& b) { return a.length < b.length; });
  std::vector<size_t> joined_to(visits.size());
  std::iota(joined_to.begin(), joined_to.end(), size_t{0});
  for (const Gap& gap : gaps) {
    const int32_t from = visits[gap.before].hold + 1, to = visits[gap.behind].first - 1;
    const int64_t bytes = visits[gap.before].bytes;
    bool fits = true;
    for (int32_t k = from; k <= to && fits; ++k) fits = room[k] >= bytes;
    if (!fits) continue;
    Take(room, from, to, bytes);
    joined_to[gap.behind] = gap.before;
  }
  for (size_t v = visits.size(); v-- > 0;) {
    if (joined_to[v] == v) continue;
    Visit& before = visits[joined_to[v]];
    before.readers.insert(before.readers.end(), visits[v].readers.begin(), visits[v].readers.end());
    before.last = visits[v].last;
    before.hold = std::max(before.hold, visits[v].hold);
  }
  for (size_t v = visits.size(); v-- > 0;) {
    if (joined_to[v] != v) visits.erase(visits.begin() + static_cast<int64_t>(v));
  }
}

// The position behind which each visit must start so that nothing waits for it, by the times of the
// placement without fetches.
std::vector<int32_t> FetchPlanner::Wanted(const Visits& visits, int32_t device) const {
  const std::vector<int32_t>& order = order_[device];
  std::vector<int32_t> wanted(visits.size());
  Time next = kNever;
  for (size_t v = visits.size(); v-- > 0;) {
    const Visit& visit = visits[v];
    next = std::min(next, base_.schedule.start[order[visit.first]]) -
           problem_.cluster.HostCost(problem_.graph.ops[visit.op].perm, device);
    int32_t at = visit.first - 1;
    while (at >= 0 && base_.schedule.end[order[at]] > next) --at;
    wanted[v] = at;
  }
  return wanted;
}

// Starts visits earlier while there is room, until where they are wanted.
void FetchPlanner::Advance(Visits& visits, std::vector<int64_t>& room,
                           const std::vector<int32_t>& wanted) {
  int32_t before = -1;
  for (size_t v = 0; v < visits.size(); ++v) {
    Visit& visit = visits[v];
    while (visit.after > std::max(before, wanted[v]) && room[visit.after] >= visit.bytes) {
      room[visit.after] -= visit.bytes;
      --visit.after;
    }
    before = visit.after;
  }
}

Evaluated FetchPlanner::Plan(const std::vector<int32_t>& ops) {
  Evaluated best = Late(ops);
  if (!best.feasible()) return best;
  const HostPlan plan = KeepOnHost(problem_.graph, problem_.cluster, ops);
  const std::vector<Visits> single = SingleVisits(plan);
  const Room all = RoomWithoutFetches(best);
  for (const bool join : {true, false}) {
    for (const bool early : {true, false}) {
      std::vector<int64_t> less(order_.size(), 0);
      for (int round = 0; round < kRounds; ++round) {
        std::vector<Visits> visits = single;
        for (size_t d = 0; d < order_.size(); ++d) {
          std::vector<int64_t> room = all[d];
          for (int64_t& bytes : room) bytes -= less[d];
          for (const Visit& visit : visits[d]) Take(room, visit.first, visit.hold, visit.bytes);
          if (join) Join(visits[d], room);
          const std::vector<int32_t> wanted = early ? std::vector<int32_t>(visits[d].size(), -1)
                                                    : Wanted(visits[d], static_cast<int32_t>(d));
          Advance(visits[d], room, wanted);
        }
        Evaluated result = Run(plan, visits);
        const bool fits = result.feasible();
        for (size_t d = 0; d < order_.size(); ++d) {
          less[d] +=
              std::max<int64_t>(0, result.memory.peak[d] - problem_.cluster.devices[d].memory);
        }
        if (Faster(result, best)) best = std::move(result);
        if (fits) break;
      }
    }
  }
  return best;
}

}  // namespace orchard::place
