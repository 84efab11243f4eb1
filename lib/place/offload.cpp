#include "place/offload.h"

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "place/fetch_plan.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

constexpr double kMoreThanFits[] = {1, 1.25, 1.5, 2, 1e9};  // operators tried, by the fewest
constexpr int64_t kMostTries = 1000;    // plans of the local search on a small graph
constexpr int64_t kTriedOps = 500'000;  // and operators that they simulate on a large one

class Offloader {
 public:
  Offloader(const Problem& problem, const Evaluated& base)
      : problem_(problem), planner_(problem, base), readers_(ParameterReaders(problem.graph)) {
    std::vector<uint8_t> over(problem.cluster.size());
    for (int32_t d = 0; d < problem.cluster.size(); ++d)
      over[d] = base.memory.peak[d] > problem.cluster.devices[d].memory;
    for (int32_t i = 0; i < problem.ops.size(); ++i) {
      const int32_t d = base.schedule.device[i];
      if (!over[d] || problem.sizes.perm[i] == 0) continue;
      Facts facts{.op = i, .device = d, .first = kNever};
      for (int32_t r : readers_[i]) {
        facts.work += base.schedule.end[r] - base.schedule.start[r];
        facts.first = std::min(facts.first, base.schedule.start[r]);
      }
      facts.link = problem.cluster.HostCost(problem.graph.ops[i].perm, d) *
                   static_cast<Time>(readers_[i].size());
      candidates_.push_back(facts);
    }
  }

  std::optional<Evaluated> Run(bool fast) {
    if (candidates_.empty()) return std::nullopt;
    if (!planner_.Late(Chosen(candidates_)).feasible()) return std::nullopt;
    for (const auto& price : Prices()) {
      std::stable_sort(candidates_.begin(), candidates_.end(),
                       [&](const Facts& a, const Facts& b) { return price(a) < price(b); });
      const std::vector<size_t> fewest = Fewest();
      for (double more : kMoreThanFits) {
        Try(Chosen(FirstOf(fewest, more)));
        if (fast && best_) return std::move(best_);
      }
    }
    Improve();
    Thin();
    return std::move(best_);
  }

 private:
  struct Facts {
    int32_t op, device;
    Time link = 0, work = 0;  // of its fetches, one for each reader; of its readers
    Time first = 0;           // when the first of them runs
  };

  std::vector<std::function<double(const Facts&)>> Prices() const {
    return {[this](const Facts& f) {
              return static_cast<double>(f.link) / static_cast<double>(problem_.sizes.perm[f.op]);
            },
            [](const Facts& f) { return -static_cast<double>(f.first); },
            [](const Facts& f) {
              return static_cast<double>(f.link) / static_cast<double>(std::max<Time>(1, f.work));
            }};
  }

  static std::vector<int32_t> Chosen(const std::vector<Facts>& facts) {
    std::vector<int32_t> ops;
    ops.reserve(facts.size());
    for (const Facts& f : facts) ops.push_back(f.op);
    std::sort(ops.begin(), ops.end());
    return ops;
  }

  // The first ones of each device in the order of the candidates, `factor` as many.
  std::vector<Facts> FirstOf(const std::vector<size_t>& count, double factor = 1) const {
    std::vector<size_t> taken(problem_.cluster.size(), 0);
    std::vector<Facts> first;
    for (const Facts& f : candidates_) {
      if (static_cast<double>(taken[f.device]++) < factor * static_cast<double>(count[f.device]))
        first.push_back(f);
    }
    return first;
  }

  // How many of each device are enough, found by bisection device by device.
  std::vector<size_t> Fewest() {
    std::vector<size_t> count(problem_.cluster.size(), 0);
    for (const Facts& f : candidates_) ++count[f.device];
    for (size_t& n : count) {
      size_t low = 0, high = n;  // high fits
      while (high > low) {
        n = (low + high) / 2;
        if (planner_.Late(Chosen(FirstOf(count))).feasible()) {
          high = n;
        } else {
          low = n + 1;
        }
      }
      n = high;
    }
    return count;
  }

  // Keeps what is faster; with `fewer` also what is as fast.
  bool Try(const std::vector<int32_t>& ops, bool fewer = false) {
    if (!fewer && !tried_.insert(ops).second) return false;
    Evaluated result = planner_.Plan(ops);
    if (!result.feasible()) return false;
    const Time slowest = best_ ? best_->schedule.makespan - (fewer ? 0 : 1) : kNever;
    if (result.schedule.makespan > slowest) return false;
    best_ = std::move(result);
    chosen_ = ops;
    return true;
  }

  // Takes out, puts in and swaps one operator as long as that is faster.
  void Improve() {
    int64_t left = std::clamp<int64_t>(kTriedOps / problem_.ops.size(), 10, kMostTries);
    bool better = best_.has_value();
    while (better && left > 0) {
      better = false;
      const std::vector<int32_t> now = chosen_;
      std::vector<int32_t> others;
      for (const Facts& f : candidates_) {
        if (!std::binary_search(now.begin(), now.end(), f.op)) others.push_back(f.op);
      }
      const auto attempt = [&](int32_t out, int32_t in) {
        std::vector<int32_t> ops = now;
        if (out >= 0) std::erase(ops, out);
        if (in >= 0) ops.insert(std::upper_bound(ops.begin(), ops.end(), in), in);
        --left;
        return better = Try(ops);
      };
      for (size_t k = 0; k < now.size() && !better && left > 0; ++k) attempt(now[k], -1);
      for (size_t k = 0; k < others.size() && !better && left > 0; ++k) attempt(-1, others[k]);
      for (size_t k = 0; k < now.size() && !better; ++k) {
        for (size_t o = 0; o < others.size() && !better && left > 0; ++o)
          attempt(now[k], others[o]);
      }
    }
  }

  // Takes out what nothing is gained by.
  void Thin() {
    const std::vector<int32_t> all = chosen_;
    const auto most = static_cast<size_t>(kTriedOps / problem_.ops.size());
    for (size_t k = 0; k < std::min(all.size(), most); ++k) {
      std::vector<int32_t> ops = chosen_;
      std::erase(ops, all[k]);
      Try(ops, /*fewer=*/true);
    }
  }

  const Problem& problem_;
  FetchPlanner planner_;
  std::vector<std::vector<int32_t>> readers_;
  std::vector<Facts> candidates_;
  std::set<std::vector<int32_t>> tried_;
  std::optional<Evaluated> best_;
  std::vector<int32_t> chosen_;  // of the best
};

}  // namespace

std::optional<Evaluated> OffloadToFit(const Problem& problem, const Evaluated& base, bool fast) {
  return Offloader(problem, base).Run(fast);
}

std::optional<Member> Offloaded(const Problem& problem, const Member& base, bool fast) {
  const double begin = SecondsNow();
  std::optional<Evaluated> result = OffloadToFit(problem, base.result, fast);
  if (!result) return std::nullopt;
  Member member = base;
  member.name += ", offloading";
  member.with_memory = base.result.schedule.makespan;
  member.limit_free = false;
  member.published_makespan = -1;
  member.result = std::move(*result);
  CountBytes(problem, member);
  member.seconds += SecondsNow() - begin;
  return member;
}

void CheckOffload(const PlaceOptions& options) {
  if (options.offload == Offload::kOff) return;
  if (options.compat != Compat::kNone) {
    throw UsageError("the published programs keep all parameters on devices", "--offload",
                     "without --compat");
  }
  if (options.training.step == Step::kGiven && options.mode == Mode::kTrain) {
    throw UsageError("the graph does not say which operators use parameters again", "--offload",
                     "--step training makes the step of a forward graph; --mode infer has none");
  }
}

int64_t BytesOnHost(const Problem& problem, const HostPlan& host) {
  int64_t bytes = 0;
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    if (host.offloaded[i]) bytes += problem.sizes.perm[i];
  }
  return bytes;
}

const Member* ClosestBy(const std::vector<Member>& members, Algorithm algorithm) {
  const Member* found = nullptr;
  for (const Member& member : members) {
    if (member.placed && member.algorithm == algorithm && (!found || Better(member, *found)))
      found = &member;
  }
  return found;
}

std::vector<const Member*> WorthOffloading(const std::vector<Member>& members, const Member* best) {
  std::vector<const Member*> all;
  for (const Member& member : members) {
    const bool could_win =
        !best || member.result.schedule.makespan < best->result.schedule.makespan;
    if (member.placed && !member.usable() && could_win) all.push_back(&member);
  }
  std::stable_sort(all.begin(), all.end(), [](const Member* a, const Member* b) {
    return a->result.schedule.makespan < b->result.schedule.makespan;
  });
  std::vector<const Member*> worth;
  const auto add = [&](const Member* member) {
    const bool known = std::any_of(worth.begin(), worth.end(), [&](const Member* other) {
      return other->result.schedule.order == member->result.schedule.order;
    });
    if (!known) worth.push_back(member);
  };
  constexpr size_t kFastest = 4;
  for (const Member* member : all) {
    if (worth.size() < kFastest) add(member);
  }
  const auto closest = std::min_element(
      all.begin(), all.end(), [](const Member* a, const Member* b) { return Better(*a, *b); });
  if (closest != all.end()) add(*closest);
  for (Algorithm algorithm : {Algorithm::kSingle, Algorithm::kMemorySplit}) {
    const Member* member = ClosestBy(members, algorithm);
    if (std::find(all.begin(), all.end(), member) != all.end()) add(member);
  }
  return worth;
}

std::vector<int64_t> OffloadedNeeds(const Problem& problem) {
  const MemorySizes& sizes = problem.sizes;
  std::vector<int64_t> needs(problem.ops.size(), 0);
  for (const MemorySizes::Buffer& buffer : sizes.buffers) needs[buffer.op] += buffer.bytes;
  const std::vector<std::vector<int32_t>> readers = ParameterReaders(problem.graph);
  for (int32_t i = 0; i < problem.ops.size(); ++i) {
    needs[i] += sizes.temp[i];
    for (int32_t r : readers[i]) needs[r] += sizes.fetched[i];
  }
  return needs;
}

int64_t LeastOffloadedLimit(const Problem& problem) {
  const std::vector<int64_t> needs = OffloadedNeeds(problem);
  return *std::max_element(needs.begin(), needs.end());
}

LowerBound BoundFor(const Problem& problem, Offload offload) {
  if (offload == Offload::kAuto && problem.memory_can_bind) return BoundWithHost(problem);
  return ComputeLowerBound(problem.ops, problem.cluster, problem.sizes.Resident());
}

LowerBound BoundWithHost(const Problem& problem) {
  std::vector<int64_t> resident = problem.sizes.Resident();
  for (size_t i = 0; i < resident.size(); ++i) resident[i] -= problem.sizes.perm[i];
  if (!problem.graph.step) return ComputeLowerBound(problem.ops, problem.cluster, resident);
  TaskGraph ops = problem.ops;
  for (int32_t s = 0; s < ops.size(); ++s) {
    if (problem.graph.step->ops[s].kind != StepKind::kUpdate) continue;
    ops.work[s] = 0;
    for (int32_t d = 0; d < ops.work_devices; ++d)
      ops.work_on[static_cast<size_t>(s) * ops.work_devices + d] = 0;
  }
  return ComputeLowerBound(ops, problem.cluster, resident);
}

}  // namespace orchard::place
