#include "place/refine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>

#include "base/hash.h"
#include "base/philox.h"
#include "base/signals.h"
#include "base/thread_pool.h"

namespace orchard::place {
namespace {

constexpr double kStartTemperature = 1e-2, kEndTemperature = 1e-4;  // of the starting makespan
constexpr double kOverWeight = 10;   // of memory over the limit, in makespans per limit
constexpr double kCoarsePart = 0.6;  // of the budget for moves of whole coplaced groups
constexpr double kPlateau = 0.2;     // of the budget without improvement: back to the best
constexpr int64_t kPoll = 64;        // steps between looks at the clock

class RandomStream {
 public:
  RandomStream(uint64_t seed, uint64_t stream)
      : key_(PhiloxKey(seed, Hash64("baechi-place refine"))), stream_(stream) {}
  uint32_t Word() {
    if (at_ == 4) {
      block_ = PhiloxAt(key_, index_++, stream_);
      at_ = 0;
    }
    return block_.word[at_++];
  }
  int32_t Below(int32_t n) {
    return static_cast<int32_t>(static_cast<uint64_t>(Word()) * static_cast<uint64_t>(n) >> 32);
  }
  double Uniform() { return UniformDouble(Word(), Word()); }

 private:
  Philox2 key_;
  uint64_t stream_, index_ = 0;
  Philox4 block_{};
  int at_ = 4;
};

// What moves together, coarse or fine: units of groups, and which units exchange tensors.
struct UnitGraph {
  std::vector<std::vector<int32_t>> groups;      // of each unit
  std::vector<std::vector<int32_t>> neighbours;  // other units
  std::vector<int32_t> movable;                  // units without a pin

  // `unit_of_op` never divides a group.
  UnitGraph(const Problem& problem, const std::vector<int32_t>& unit_of_op) {
    int32_t units = 0;
    for (int32_t unit : unit_of_op) units = std::max(units, unit + 1);
    groups.resize(units);
    neighbours.resize(units);
    std::vector<uint8_t> pinned(units, 0), seen(problem.ops.groups, 0);
    for (int32_t i = 0; i < problem.ops.size(); ++i) {
      const int32_t g = problem.ops.group[i];
      if (!seen[g]) groups[unit_of_op[i]].push_back(g);
      seen[g] = 1;
      if (problem.group_pin[g] >= 0) pinned[unit_of_op[i]] = 1;
    }
    for (const Edge& edge : problem.ops.edges) {
      const int32_t a = unit_of_op[edge.src], b = unit_of_op[edge.dst];
      if (a == b) continue;
      neighbours[a].push_back(b);
      neighbours[b].push_back(a);
    }
    for (auto& list : neighbours) {
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
    }
    for (int32_t u = 0; u < units; ++u) {
      if (!pinned[u]) movable.push_back(u);
    }
  }
};

// Whole coplaced groups first, then the groups that must share.
struct Granularity {
  UnitGraph coarse, fine;
  std::vector<std::vector<int32_t>> members;  // operators of each group

  explicit Granularity(const Problem& problem)
      : coarse(problem, problem.coarse),
        fine(problem, problem.ops.group),
        members(problem.ops.TasksOfGroups()) {}
};

struct Cost {
  Time makespan = kNever;
  int64_t excess = 0;
  double value = 0;
  bool operator<(const Cost& other) const {
    return excess != other.excess ? excess < other.excess : makespan < other.makespan;
  }
};

class Chain {
 public:
  Chain(const Problem& problem, const Granularity& levels, std::vector<int32_t> start,
        uint64_t seed, int32_t number)
      : problem_(problem),
        levels_(levels),
        units_(&levels.coarse),
        simulator_(problem.ops, problem.cluster),
        random_(seed, static_cast<uint64_t>(number)),
        device_(std::move(start)),
        dispatch_(number % 2 ? Dispatch::kPriority : Dispatch::kFifo),
        seen_(problem.ops.groups, 0) {
    smallest_ = INT64_MAX;
    for (const Device& device : problem.cluster.devices)
      smallest_ = std::min(smallest_, std::max<int64_t>(device.memory, 1));
    cost_ = Measure();
    best_ = device_;
    best_cost_ = cost_;
    start_value_ = cost_.value;
  }

  // One move at `fraction` of the annealing.
  void Step(double fraction) {
    const bool coarse = fraction < kCoarsePart;
    const double part =
        coarse ? fraction / kCoarsePart : (fraction - kCoarsePart) / (1 - kCoarsePart);
    const double temperature =
        start_value_ * kStartTemperature * std::pow(kEndTemperature / kStartTemperature, part);
    if (fraction - improved_ > kPlateau || (!coarse && units_ != &levels_.fine)) {
      device_ = best_;
      cost_ = best_cost_;
      improved_ = fraction;
    }
    units_ = coarse ? &levels_.coarse : &levels_.fine;
    if (!Propose()) return;
    const Cost cost = Measure();
    const double worse = cost.value - cost_.value;
    if (worse <= 0 || random_.Uniform() < std::exp(-worse / temperature)) {
      cost_ = cost;
      if (cost_ < best_cost_) {
        best_cost_ = cost_;
        best_ = device_;
        improved_ = fraction;
      }
    } else {
      for (const auto& [group, device] : undo_) MoveGroup(group, device);
    }
  }

  const std::vector<int32_t>& best() const { return best_; }
  const Cost& best_cost() const { return best_cost_; }

 private:
  int32_t DeviceOf(int32_t unit) const {
    return device_[levels_.members[units_->groups[unit][0]][0]];
  }
  void MoveGroup(int32_t group, int32_t device) {
    for (int32_t i : levels_.members[group]) device_[i] = device;
  }
  // Moves a unit and remembers where its groups were.
  void MoveUnit(int32_t unit, int32_t device) {
    for (int32_t g : units_->groups[unit]) {
      undo_.emplace_back(g, device_[levels_.members[g][0]]);
      MoveGroup(g, device);
    }
  }

  Cost Measure() {
    Cost cost;
    cost.makespan = simulator_.Run(device_, dispatch_, {}, problem_.priority);
    cost.value = static_cast<double>(cost.makespan);
    if (problem_.memory_can_bind) {
      const MemoryUse use =
          ReplayMemory(problem_.sizes, problem_.ops, simulator_.Result(), problem_.cluster.size());
      cost.excess = Excess(use.peak, problem_.cluster);
      cost.value *=
          1 + kOverWeight * static_cast<double>(cost.excess) / static_cast<double>(smallest_);
    }
    return cost;
  }

  // Moves one unit, a region around it, or it to a neighbour; false when that changes nothing.
  bool Propose() {
    undo_.clear();
    const int32_t unit =
        units_->movable[random_.Below(static_cast<int32_t>(units_->movable.size()))];
    const int32_t from = DeviceOf(unit);
    const int kind = random_.Below(4);
    int32_t to;
    if (kind == 3 && !units_->neighbours[unit].empty()) {
      const auto& list = units_->neighbours[unit];
      to = DeviceOf(list[random_.Below(static_cast<int32_t>(list.size()))]);
    } else {
      to = random_.Below(problem_.cluster.size());
    }
    if (to == from && units_->groups[unit].size() == 1) return false;
    const int32_t size = kind == 1 || kind == 2 ? 1 << random_.Below(7) : 1;
    for (int32_t u : Region(unit, from, size)) MoveUnit(u, to);
    return true;
  }

  // Up to `size` movable units on `device` around `unit`, nearest first.
  std::vector<int32_t> Region(int32_t unit, int32_t device, int32_t size) {
    std::vector<int32_t> region = {unit};
    ++stamp_;
    seen_[unit] = stamp_;
    for (size_t at = 0; at < region.size() && static_cast<int32_t>(region.size()) < size; ++at) {
      for (int32_t u : units_->neighbours[region[at]]) {
        if (seen_[u] == stamp_ || DeviceOf(u) != device || !Movable(u)) continue;
        seen_[u] = stamp_;
        region.push_back(u);
        if (static_cast<int32_t>(region.size()) == size) break;
      }
    }
    return region;
  }

  bool Movable(int32_t unit) const {
    return std::binary_search(units_->movable.begin(), units_->movable.end(), unit);
  }

  const Problem& problem_;
  const Granularity& levels_;
  const UnitGraph* units_;  // of the phase
  Simulator simulator_;
  RandomStream random_;
  std::vector<int32_t> device_, best_;
  Dispatch dispatch_;
  std::vector<int64_t> seen_;
  int64_t stamp_ = 0;
  int64_t smallest_ = 0;
  Cost cost_, best_cost_;
  double start_value_ = 0;
  double improved_ = 0;  // part of the budget when the best was found
  std::vector<std::pair<int32_t, int32_t>> undo_;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

std::vector<int32_t> Refine(const Problem& problem, const std::vector<std::vector<int32_t>>& starts,
                            const RefineOptions& options,
                            const std::function<void(Time best)>& progress) {
  const Granularity levels(problem);
  if (levels.coarse.movable.empty() || levels.fine.movable.empty() || problem.cluster.size() < 2)
    return starts[0];
  std::mutex mutex;
  std::vector<int32_t> best;
  Cost best_cost;
  int32_t best_chain = options.chains;
  best_cost.excess = INT64_MAX;
  // With a time limit, chains that wait for a thread share the time.
  const int threads = std::max(1, std::min<int>(options.threads, options.chains));
  const int rounds = (options.chains + threads - 1) / threads;
  const double share = options.seconds / rounds;
  ThreadPool(threads).ForEach(options.chains, [&](int64_t k) {
    Chain chain(problem, levels, starts[k % starts.size()], options.seed, static_cast<int32_t>(k));
    const double chain_begin = Now();
    double fraction = 0;
    Time told = kNever;
    for (int64_t step = 0; options.steps == 0 || step < options.steps; ++step) {
      if (step % kPoll == 0) {
        const double passed = Now() - chain_begin;
        if (StopRequested() || (options.seconds > 0 && passed >= share)) break;
        if (options.steps > 0)
          fraction = static_cast<double>(step) / static_cast<double>(options.steps);
        if (options.seconds > 0) fraction = std::max(fraction, passed / share);
        if (progress && chain.best_cost().excess == 0 && chain.best_cost().makespan < told) {
          const std::lock_guard lock(mutex);
          told = chain.best_cost().makespan;
          progress(told);
        }
      }
      chain.Step(fraction);
    }
    const std::lock_guard lock(mutex);
    const bool tie = !(chain.best_cost() < best_cost) && !(best_cost < chain.best_cost());
    if (chain.best_cost() < best_cost || (tie && k < best_chain)) {
      best_cost = chain.best_cost();
      best = chain.best();
      best_chain = static_cast<int32_t>(k);
    }
  });
  return best;
}

}  // namespace orchard::place
