#include "place/refine.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/clock.h"
#include "base/signals.h"
#include "base/thread_pool.h"

namespace orchard::place {
namespace {

constexpr int64_t kPoll = 64;       // steps between looks at the clock
constexpr double kBehind = 0.01;    // of the best makespan: who is slower by more takes it over
constexpr double kTellEvery = 0.2;  // seconds between calls of `progress`

// The best of all chains; the first of equal ones.
const ChainState& Best(const RefineState& state) {
  const ChainState* best = &state.chains[0];
  for (const ChainState& chain : state.chains) {
    if (chain.best_cost < best->best_cost) best = &chain;
  }
  return *best;
}

class Annealing {
 public:
  Annealing(const Problem& problem, RefineState state, const RefineOptions& options,
            const RefineCalls& calls)
      : problem_(problem),
        units_(problem),
        state_(std::move(state)),
        options_(options),
        calls_(calls),
        threads_(std::clamp<int>(options.threads, 1, static_cast<int>(state_.chains.size()))),
        before_(state_.seconds),
        begin_(SecondsNow()) {}

  Candidate Run() {
    ThreadPool pool(threads_);
    while (state_.round < kRefineRounds && !StopRequested()) {
      pool.ForEach(static_cast<int64_t>(state_.chains.size()),
                   [&](int64_t k) { Round(static_cast<int32_t>(k)); });
      if (StopRequested()) break;  // the state of a round that was cut short is not a checkpoint
      ++state_.round;
      if (state_.round % kRefineExchange == 0 && state_.round < kRefineRounds) Exchange();
      state_.seconds = before_ + SecondsNow() - begin_;
      if (calls_.checkpoint) calls_.checkpoint(state_);
    }
    return Best(state_).best;
  }

 private:
  void Exchange() {
    const ChainState best = Best(state_);
    const double most = (1 + kBehind) * static_cast<double>(best.best_cost.makespan);
    for (ChainState& chain : state_.chains) {
      if (chain.best_cost.excess <= best.best_cost.excess &&
          static_cast<double>(chain.best_cost.makespan) <= most)
        continue;
      chain.current = chain.best = best.best;
      chain.current_cost = chain.best_cost = best.best_cost;
      chain.improved = static_cast<double>(state_.round) / kRefineRounds;
    }
  }

  // One round of chain k. With a time limit, chains that wait for a thread share the time.
  void Round(int32_t k) {
    Chain chain(problem_, units_, std::move(state_.chains[k]), options_.seed);
    const int64_t first = options_.steps * state_.round / kRefineRounds,
                  last = options_.steps * (state_.round + 1) / kRefineRounds;
    const auto chains = static_cast<double>(state_.chains.size());
    const double share = options_.seconds / kRefineRounds / std::ceil(chains / threads_);
    const double begin = SecondsNow();
    double fraction = 0;
    for (int64_t step = first; options_.steps == 0 || step < last; ++step) {
      if ((step - first) % kPoll == 0) {
        const double passed = SecondsNow() - begin;
        if (StopRequested() || (options_.seconds > 0 && passed >= share)) break;
        if (options_.seconds > 0) fraction = (state_.round + passed / share) / kRefineRounds;
        Tell(chain.state().best_cost, kPoll);
      }
      if (options_.steps > 0)
        fraction =
            std::max(fraction, static_cast<double>(step) / static_cast<double>(options_.steps));
      chain.Step(fraction);
    }
    state_.chains[k] = chain.TakeState();
  }

  void Tell(const RefineCost& cost, int64_t steps) {
    if (!calls_.progress) return;
    const std::lock_guard lock(mutex_);
    progress_.steps += steps;
    if (cost.excess == 0) progress_.best = std::min(progress_.best, cost.makespan);
    const double now = SecondsNow();
    if (now - told_ < kTellEvery) return;
    told_ = now;
    progress_.seconds = before_ + now - begin_;
    calls_.progress(progress_);
  }

  const Problem& problem_;
  const Granularity units_;
  RefineState state_;
  const RefineOptions& options_;
  const RefineCalls& calls_;
  int threads_;
  double before_, begin_;  // seconds
  std::mutex mutex_;       // of progress
  RefineProgress progress_;
  double told_ = 0;
};

}  // namespace

bool CanRefine(const Problem& problem) {
  const auto free = [](int32_t pin) { return pin < 0; };
  return problem.cluster.size() > 1 &&
         std::any_of(problem.group_pin.begin(), problem.group_pin.end(), free);
}

RefineState BeginRefine(const Problem& problem, const std::vector<Candidate>& starts,
                        const RefineOptions& options) {
  int32_t chains = options.chains;
  if (options.seconds > 0) chains = std::max(options.threads, chains);
  RefineState state;
  state.chains.resize(chains);
  ThreadPool(std::clamp<int>(options.threads, 1, chains)).ForEach(chains, [&](int64_t k) {
    state.chains[k] = Chain::Begin(problem, starts[k % starts.size()], static_cast<int32_t>(k));
  });
  return state;
}

Candidate Refine(const Problem& problem, RefineState state, const RefineOptions& options,
                 const RefineCalls& calls) {
  return Annealing(problem, std::move(state), options, calls).Run();
}

}  // namespace orchard::place
