#include "place/batch_anneal.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

#include "base/clock.h"
#include "base/signals.h"
#include "base/thread_pool.h"
#include "place/batch_simulator.h"

namespace orchard::place {
namespace {

constexpr uint64_t kFirstStream = 1 << 20;  // of random numbers: beyond those of single chains
constexpr int kExchanges = 20;              // times that the worst chains are replaced
constexpr double kTellEvery = 0.2;          // seconds between calls of `progress`
constexpr int64_t kArrivalsEvery = 4;       // moves between orders of arrival
constexpr int32_t kOrderEvery = 2;          // of the batches, one of so many changes the order

// A chain: its plan, and the moves that it has laid out in its block.
class BlockChain {
 public:
  BlockChain(const Problem& problem, const Granularity& units, BatchSimulator& batch, int64_t block,
             const Candidate& start, uint64_t seed)
      : problem_(problem),
        units_(units),
        batch_(batch),
        block_(block),
        random_(seed, kFirstStream + static_cast<uint64_t>(block), 0),
        moves_(problem, random_),
        simulator_(problem.ops, problem.cluster),
        smallest_(SmallestMemory(problem.cluster)) {
    Take({start, Exact(start)});
    best_ = {current_, cost_};
    start_value_ = AnnealValue(cost_, smallest_);
  }

  // Lays out moves at `fraction` of the annealing.
  void Propose(double fraction) {
    const bool devices_only = fraction < kDevicesPart;
    temperature_ = AnnealTemperature(fraction) * start_value_;
    order_move_ = {-1, -1};
    if (!devices_only && random_.Below(kOrderEvery) == 0) MoveInOrder();
    const std::span<uint8_t> devices = batch_.Devices(block_);
    for (int32_t lane = 0; lane < kBatchLanes; ++lane) {
      moved_[lane].clear();
      // Lane 0 of a batch with a new order is that order alone.
      const bool still = lane == 0 && order_move_.first >= 0;
      const bool any = !still && moves_.Move(moves_.AnyLevel(units_), current_.device);
      tried_[lane] = any || order_move_.first >= 0;
      most_[lane] = value_ - temperature_ * std::log(std::max(random_.Uniform(), 1e-300));
      if (!any) continue;
      for (const auto& [op, was] : moves_.moved()) {
        const int32_t to = current_.device[op];
        moved_[lane].emplace_back(op, to);
        devices[static_cast<size_t>(op) * kBatchLanes + lane] = static_cast<uint8_t>(to);
      }
      moves_.Undo(current_.device);
    }
  }

  // Reads the results and goes on from the first move that is accepted.
  void Decide() {
    const std::span<uint8_t> devices = batch_.Devices(block_);
    int32_t chosen = -1;
    RefineCost cost;
    for (int32_t lane = 0; lane < kBatchLanes && chosen < 0; ++lane) {
      const size_t at = static_cast<size_t>(block_) * kBatchLanes + lane;
      cost = {batch_.makespan()[at], problem_.memory_can_bind ? batch_.excess()[at] : 0};
      if (tried_[lane] && AnnealValue(cost, smallest_) <= most_[lane]) chosen = lane;
    }
    for (int32_t lane = 0; lane < kBatchLanes; ++lane) {
      for (const auto& [op, to] : moved_[lane])
        devices[static_cast<size_t>(op) * kBatchLanes + lane] =
            static_cast<uint8_t>(current_.device[op]);
    }
    if (chosen < 0) {
      if (order_move_.first >= 0) {
        Shift(order_move_.second, order_move_.first);
        ordered_ = true;
      }
      return;
    }
    for (const auto& [op, to] : moved_[chosen]) {
      current_.device[op] = to;
      std::fill_n(devices.begin() + static_cast<std::ptrdiff_t>(op) * kBatchLanes, kBatchLanes,
                  static_cast<uint8_t>(to));
    }
    cost_ = cost;
    value_ = AnnealValue(cost_, smallest_);
    // The memory estimate holds for the order that was simulated.
    if (!problem_.memory_can_bind && ++accepted_ % kArrivalsEvery == 0) TakeArrivals();
    if (cost_ < best_.cost) Keep();
  }

  // Whether the order has changed since the last call.
  bool TakeOrdered() { return std::exchange(ordered_, false); }

  const RefineCost& best_cost() const { return best_.cost; }
  const Candidate& best() const { return best_.candidate; }
  double value() const { return value_; }
  // Goes on from what another chain, or this one, has found.
  void Follow(const BlockChain& other) { Take(other.best_); }

 private:
  struct Found {
    Candidate candidate;
    RefineCost cost;
  };

  // By the simulator and the replayed memory. Without memory limits the batch is as exact.
  RefineCost Exact(const Candidate& candidate) {
    std::vector<int32_t> order(candidate.rank.size());
    for (size_t i = 0; i < order.size(); ++i) order[candidate.rank[i]] = static_cast<int32_t>(i);
    RefineCost cost{simulator_.Run(candidate.device, Dispatch::kOrder, order), 0};
    if (problem_.memory_can_bind) {
      cost.excess = Excess(
          ReplayMemory(problem_.sizes, problem_.ops, simulator_.Result(), problem_.cluster.size())
              .peak,
          problem_.cluster);
    }
    return cost;
  }

  // Takes the order in which devices would serve who is ready first, where that is no slower: the
  // order of the plan was made for other devices.
  void TakeArrivals() {
    const Time makespan = simulator_.Run(current_.device, Dispatch::kFifo, {}, {}, cost_.makespan);
    if (makespan > cost_.makespan) return;
    const std::vector<int32_t> order = OrderByStart(problem_.ops, simulator_.Result());
    std::copy(order.begin(), order.end(), batch_.Order(block_).begin());
    for (size_t r = 0; r < order.size(); ++r) current_.rank[order[r]] = static_cast<int32_t>(r);
    cost_.makespan = makespan;
    value_ = AnnealValue(cost_, smallest_);
    ordered_ = true;
  }

  void Keep() {
    const RefineCost cost = problem_.memory_can_bind ? Exact(current_) : cost_;
    if (cost < best_.cost) best_ = {current_, cost};
  }

  void Take(const Found& found) {
    current_ = found.candidate;
    cost_ = found.cost;
    value_ = AnnealValue(cost_, smallest_);
    ordered_ = true;
    const std::span<int32_t> order = batch_.Order(block_);
    const std::span<uint8_t> devices = batch_.Devices(block_);
    for (int32_t i = 0; i < problem_.ops.size(); ++i) {
      order[current_.rank[i]] = i;
      std::fill_n(devices.begin() + static_cast<std::ptrdiff_t>(i) * kBatchLanes, kBatchLanes,
                  static_cast<uint8_t>(current_.device[i]));
    }
  }

  // Takes an operator to another place in the order, between its producers and its readers.
  void MoveInOrder() {
    const int32_t op = random_.Below(problem_.ops.size());
    const int32_t from = current_.rank[op];
    int32_t low = 0, high = problem_.ops.size() - 1;
    for (int32_t e : problem_.ops.InEdges(op))
      low = std::max(low, current_.rank[problem_.ops.edges[e].src] + 1);
    for (int32_t e = problem_.ops.out_begin[op]; e < problem_.ops.out_begin[op + 1]; ++e)
      high = std::min(high, current_.rank[problem_.ops.edges[e].dst] - 1);
    const int32_t most = 4 << random_.Below(8);
    low = std::max(low, from - most);
    high = std::min(high, from + most);
    const int32_t to = low + random_.Below(high - low + 1);
    if (to == from) return;
    Shift(from, to);
    ordered_ = true;
    order_move_ = {from, to};
  }

  void Shift(int32_t from, int32_t to) {
    const std::span<int32_t> order = batch_.Order(block_);
    if (from < to) {
      std::rotate(order.begin() + from, order.begin() + from + 1, order.begin() + to + 1);
    } else {
      std::rotate(order.begin() + to, order.begin() + from, order.begin() + from + 1);
    }
    for (int32_t r = std::min(from, to); r <= std::max(from, to); ++r) current_.rank[order[r]] = r;
  }

  const Problem& problem_;
  const Granularity& units_;
  BatchSimulator& batch_;
  int64_t block_;
  RandomWords random_;
  MoveMaker moves_;
  Simulator simulator_;
  int64_t smallest_;
  Candidate current_;
  RefineCost cost_;
  double value_ = 0, start_value_ = 0, temperature_ = 0;
  Found best_;
  std::vector<std::pair<int32_t, int32_t>> moved_[kBatchLanes];  // operators and where to
  bool ordered_ = false;
  int64_t accepted_ = 0;
  bool tried_[kBatchLanes] = {};
  double most_[kBatchLanes] = {};
  std::pair<int32_t, int32_t> order_move_{-1, -1};  // from, to
};

class BatchAnnealing {
 public:
  BatchAnnealing(const Problem& problem, const std::vector<Candidate>& starts,
                 const BatchRefineOptions& options, const RefineCalls& calls)
      : units_(problem),
        options_(options),
        calls_(calls),
        pool_(std::max(1, options.threads)),
        batch_(problem, options.chains, std::max(1, options.threads), options.cuda),
        chains_(static_cast<size_t>(options.chains)) {
    pool_.ForEach(options.chains, [&](int64_t k) {
      chains_[k] = std::make_unique<BlockChain>(problem, units_, batch_, k,
                                                starts[k % starts.size()], options.seed);
    });
    batch_.OrderChanged();
  }

  Candidate Run() {
    const double begin = SecondsNow();
    int exchanged = 0;
    double told = 0;
    bool devices_only = true;
    for (int64_t done = 0; !StopRequested(); ++done) {
      const double passed = SecondsNow() - begin;
      double fraction = 0;
      if (options_.batches > 0)
        fraction = static_cast<double>(done) / static_cast<double>(options_.batches);
      if (options_.seconds > 0) fraction = std::max(fraction, passed / options_.seconds);
      if (fraction >= 1) break;
      if (fraction * kExchanges >= exchanged + 1) {
        exchanged = static_cast<int>(fraction * kExchanges);
        Exchange();
      }
      if (devices_only && fraction >= kDevicesPart) {
        devices_only = false;
        for (const auto& chain : chains_) chain->Follow(*chain);
      }
      pool_.ForEach(options_.chains, [&](int64_t k) { chains_[k]->Propose(fraction); });
      for (const auto& chain : chains_) {
        if (chain->TakeOrdered()) batch_.OrderChanged();
      }
      batch_.Run(options_.chains);
      pool_.ForEach(options_.chains, [&](int64_t k) { chains_[k]->Decide(); });
      if (calls_.progress && passed - told >= kTellEvery) {
        told = passed;
        const RefineCost& best = Best().best_cost();
        calls_.progress({(done + 1) * options_.chains * kBatchLanes, passed,
                         best.excess == 0 ? best.makespan : kNever});
      }
    }
    return Best().best();
  }

 private:
  const BlockChain& Best() const {
    const auto at = std::min_element(chains_.begin(), chains_.end(), [](auto& a, auto& b) {
      return a->best_cost() < b->best_cost();
    });
    return **at;
  }

  // The worst quarter follows the best quarter.
  void Exchange() {
    std::vector<int32_t> rank(chains_.size());
    std::iota(rank.begin(), rank.end(), 0);
    std::stable_sort(rank.begin(), rank.end(), [&](int32_t a, int32_t b) {
      return chains_[a]->value() < chains_[b]->value();
    });
    const size_t quarter = rank.size() / 4;
    for (size_t k = 0; k < quarter; ++k)
      chains_[rank[rank.size() - 1 - k]]->Follow(*chains_[rank[k]]);
    batch_.OrderChanged();
  }

  const Granularity units_;
  const BatchRefineOptions& options_;
  const RefineCalls& calls_;
  ThreadPool pool_;
  BatchSimulator batch_;
  std::vector<std::unique_ptr<BlockChain>> chains_;
};

}  // namespace

bool CanBatchRefine(const Problem& problem) {
  return BatchGraph::Supports(problem.cluster) && CanRefine(problem);
}

Candidate BatchRefine(const Problem& problem, const std::vector<Candidate>& starts,
                      const BatchRefineOptions& options, const RefineCalls& calls) {
  return BatchAnnealing(problem, starts, options, calls).Run();
}

}  // namespace orchard::place
