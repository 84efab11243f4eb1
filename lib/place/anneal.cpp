#include "place/anneal.h"

#include <algorithm>
#include <cmath>

namespace orchard::place {
namespace {

constexpr double kStartTemperature = 2e-3, kEndTemperature = 3e-4;  // of the starting makespan
constexpr double kOverWeight = 10;  // of memory over the limit, in makespans per limit
constexpr double kPlateau = 0.2;    // of the budget without improvement: back to the best
constexpr int32_t kSwapEvery = 4;   // of the later moves, one of so many changes the order

}  // namespace

int64_t SmallestMemory(const Cluster& cluster) {
  int64_t smallest = INT64_MAX;
  for (const Device& device : cluster.devices)
    smallest = std::min(smallest, std::max<int64_t>(device.memory, 1));
  return smallest;
}

double AnnealValue(const RefineCost& cost, int64_t smallest_memory) {
  return static_cast<double>(cost.makespan) * (1 + kOverWeight * static_cast<double>(cost.excess) /
                                                       static_cast<double>(smallest_memory));
}

double AnnealTemperature(double fraction) {
  return kStartTemperature * std::pow(kEndTemperature / kStartTemperature, fraction);
}

Chain::Chain(const Problem& problem, const Granularity& units, ChainState state, uint64_t seed)
    : problem_(problem),
      units_(units),
      simulator_(problem.ops, problem.cluster),
      state_(std::move(state)),
      random_(seed, static_cast<uint64_t>(state_.number), state_.random_block),
      moves_(problem, random_),
      smallest_(SmallestMemory(problem.cluster)) {
  value_ = AnnealValue(state_.current_cost, smallest_);
  if (!state_.current.rank.empty()) simulator_.SetRanks(state_.current.rank);
}

ChainState Chain::Begin(const Problem& problem, Candidate start, int32_t number) {
  ChainState state{.number = number};
  state.current = std::move(start);
  Simulator simulator(problem.ops, problem.cluster);
  const bool ranked = !state.current.rank.empty();
  if (ranked) simulator.SetRanks(state.current.rank);
  state.current_cost.makespan =
      simulator.Run(state.current.device, ranked ? Dispatch::kPriority : Dispatch::kFifo);
  if (problem.memory_can_bind) {
    const MemoryUse use =
        ReplayMemory(problem.sizes, problem.ops, simulator.Result(false), problem.cluster.size());
    state.current_cost.excess = Excess(use.peak, problem.cluster);
  }
  state.best = state.current;
  state.best_cost = state.current_cost;
  state.start_value = AnnealValue(state.current_cost, SmallestMemory(problem.cluster));
  return state;
}

ChainState Chain::TakeState() {
  state_.random_block = random_.next_block();
  if (!state_.current.rank.empty())
    state_.current.rank.assign(simulator_.ranks().begin(), simulator_.ranks().end());
  return std::move(state_);
}

// Back to the best, to search on from there.
void Chain::Return() {
  state_.current = state_.best;
  state_.current_cost = state_.best_cost;
  value_ = AnnealValue(state_.current_cost, smallest_);
  if (!state_.current.rank.empty()) simulator_.SetRanks(state_.current.rank);
}

// From "who was ready first" to ranks that give the same schedule, and that moves can change.
void Chain::RankByStart() {
  simulator_.Run(state_.current.device, Dispatch::kFifo);
  std::vector<int32_t>& rank = state_.current.rank;
  rank.resize(problem_.ops.size());
  const std::vector<int32_t> order = OrderByStart(problem_.ops, simulator_.Result());
  for (int32_t r = 0; r < problem_.ops.size(); ++r) rank[order[r]] = r;
  simulator_.SetRanks(rank);
}

void Chain::Step(double fraction) {
  const bool devices_only = fraction < kDevicesPart;
  const double temperature = state_.start_value * AnnealTemperature(fraction);
  if (fraction - state_.improved > kPlateau) {
    Return();
    state_.improved = fraction;
  }
  if (!devices_only && state_.current.rank.empty()) {
    Return();
    if (state_.current.rank.empty()) RankByStart();
  }
  if (!Propose(devices_only)) return;
  // Accepted when value - value_ <= -temperature ln(uniform).
  const double most = value_ - temperature * std::log(std::max(random_.Uniform(), 1e-300));
  RefineCost cost;
  double value = 0;
  if (!Measure(most, &cost, &value)) return Undo();
  state_.current_cost = cost;
  value_ = value;
  if (state_.current_cost < state_.best_cost) {
    state_.best_cost = state_.current_cost;
    state_.best.device = state_.current.device;
    state_.best.rank.assign(simulator_.ranks().begin(), simulator_.ranks().end());
    if (state_.current.rank.empty()) state_.best.rank.clear();
    state_.improved = fraction;
  }
}

// False when the value exceeds `most`.
bool Chain::Measure(double most, RefineCost* cost, double* value) {
  const Dispatch dispatch = state_.current.rank.empty() ? Dispatch::kFifo : Dispatch::kPriority;
  const Time limit =
      most < static_cast<double>(kNever) ? static_cast<Time>(std::floor(most)) : kNever;
  cost->makespan = simulator_.Run(state_.current.device, dispatch, {}, {}, limit);
  if (cost->makespan > limit) return false;
  cost->excess = 0;
  if (problem_.memory_can_bind) {
    const MemoryUse use = ReplayMemory(problem_.sizes, problem_.ops, simulator_.Result(false),
                                       problem_.cluster.size());
    cost->excess = Excess(use.peak, problem_.cluster);
  }
  *value = AnnealValue(*cost, smallest_);
  return *value <= most;
}

void Chain::Undo() {
  if (swapped_[0] < 0) return moves_.Undo(state_.current.device);
  simulator_.SwapRanks(swapped_[0], swapped_[1]);
}

bool Chain::Propose(bool devices_only) {
  swapped_[0] = swapped_[1] = -1;
  if (!devices_only && random_.Below(kSwapEvery) == 0) return ProposeSwap();
  return moves_.Move(moves_.AnyLevel(units_), state_.current.device);
}

// An operator goes before another one of its device that now has the better rank.
bool Chain::ProposeSwap() {
  const int32_t op = random_.Below(problem_.ops.size());
  const int32_t device = state_.current.device[op];
  int32_t distance = 1 << random_.Below(4);
  const std::span<const int32_t> by_rank = simulator_.by_rank();
  int32_t other = -1;
  for (int32_t r = simulator_.ranks()[op] - 1; r >= 0 && distance > 0; --r) {
    if (state_.current.device[by_rank[r]] != device) continue;
    other = by_rank[r];
    --distance;
  }
  if (other < 0) return false;
  swapped_[0] = op;
  swapped_[1] = other;
  simulator_.SwapRanks(op, other);
  return true;
}

}  // namespace orchard::place
