#include "place/place_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <tuple>

#include "base/clock.h"
#include "base/error.h"
#include "base/number_format.h"
#include "base/thread_pool.h"
#include "place/infeasible.h"
#include "place/limits.h"
#include "place/offload.h"
#include "place/pipeline_order.h"
#include "place/pipeline_split.h"
#include "place/recompute.h"

namespace orchard::place {
namespace {

constexpr double kLimitPrecision = 0.02;
constexpr size_t kCandidates = 8;  // placements of one micro-batch that are tried with several

// A placement of the forward operators, and the order in which they ran with one micro-batch.
struct Candidate {
  std::string name;
  Algorithm algorithm = Algorithm::kAuto;
  bool limit_free = false;
  bool always = false;          // made at every limit: worth trying to fit
  std::vector<int32_t> device;  // of every forward operator
  std::vector<int32_t> rank;    // as PipelineOrder takes it
};

std::vector<int32_t> RankOf(const StepOrigin& step, const std::vector<int32_t>& order) {
  std::vector<int32_t> rank(size_t{kStepKinds} * step.forward.size(), 0);
  for (size_t at = 0; at < order.size(); ++at) {
    const StepOp& op = step.ops[order[at]];
    rank[static_cast<size_t>(op.kind) * step.forward.size() + op.forward] =
        static_cast<int32_t>(at);
  }
  return rank;
}

// The best placements of one micro-batch, the single device, and splits into stages.
std::vector<Candidate> Candidates(const Problem& single, const std::vector<Member>& members,
                                  bool portfolio) {
  const StepOrigin& step = *single.graph.step;
  std::vector<const Member*> order;
  for (const Member& member : members) {
    if (member.placed) order.push_back(&member);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Member* a, const Member* b) { return Better(*a, *b); });
  std::vector<Candidate> candidates;
  const auto add = [&](Candidate candidate, const Schedule& schedule) {
    for (Candidate& other : candidates) {
      if (other.device != candidate.device) continue;
      other.limit_free = other.limit_free || candidate.limit_free;
      other.always = other.always || candidate.always;
      return;
    }
    candidate.rank = RankOf(step, OrderByStart(single.ops, schedule));
    candidates.push_back(std::move(candidate));
  };
  for (const Member* member : order) {
    const bool one = member->algorithm == Algorithm::kSingle;
    if (candidates.size() >= kCandidates && !one) continue;
    const Schedule& schedule = member->result.schedule;
    add({member->name, member->algorithm, one, one, LowerToForward(step, schedule.device), {}},
        schedule);
  }
  for (int32_t stages = 2; portfolio && stages <= single.cluster.size(); ++stages) {
    for (const bool transfers : {false, true}) {
      const std::vector<int32_t> device = SplitPipeline(single, stages, transfers);
      const Evaluated result = Evaluate(single, LiftToStep(step, device));
      add({fmt::format("{} stages{}", stages, transfers ? ", transfers counted" : ""),
           Algorithm::kAuto,
           true,
           stages == single.cluster.size() && transfers,
           device,
           {}},
          result.schedule);
    }
  }
  return candidates;
}

// One candidate in one order.
struct Trial {
  const Candidate* candidate = nullptr;
  Pipeline pipeline = Pipeline::kGpipe;
  bool as_planned = false;  // passes run as with one micro-batch; else in topological order
  Evaluated result;
};

class Microbatches {
 public:
  Microbatches(const Problem& problem, const std::vector<Candidate>& candidates, Pipeline asked,
               bool planned = true)
      : problem_(problem), candidates_(candidates), asked_(asked), planned_(planned) {
    // The index of a step with one micro-batch would do as well: all copies are alike.
    std::vector<int32_t> order(problem.ops.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](int32_t a, int32_t b) { return problem.ops.topo[a] < problem.ops.topo[b]; });
    std::erase_if(order, [&](int32_t s) { return problem.graph.step->ops[s].microbatch != 0; });
    topological_ = RankOf(*problem.graph.step, order);
  }

  // The best trial first, then the one that needs least memory of those whose outcome does not
  // depend on the limits.
  std::vector<Trial> Best(int threads) {
    std::vector<Trial> trials;
    for (const Candidate& candidate : candidates_) {
      for (const bool as_planned : {true, false}) {
        if (as_planned && !planned_) continue;
        if (asked_ != Pipeline::k1F1B) trials.push_back({&candidate, Pipeline::kGpipe, as_planned});
        if (asked_ != Pipeline::kGpipe) trials.push_back({&candidate, Pipeline::k1F1B, as_planned});
      }
    }
    const size_t none = trials.size();
    size_t best = none, least = none;
    std::mutex mutex;
    const auto peak = [&](size_t t) {
      const auto& peaks = trials[t].result.memory.peak;
      return *std::max_element(peaks.begin(), peaks.end());
    };
    const auto better = [&](size_t a, size_t b) {
      const auto key = [&](size_t t) {
        const Evaluated& result = trials[t].result;
        return std::tuple(result.excess, result.schedule.makespan, peak(t), t);
      };
      return key(a) < key(b);
    };
    ThreadPool(std::max(1, threads)).ForEach(static_cast<int64_t>(none), [&](int64_t index) {
      const auto t = static_cast<size_t>(index);
      Run(trials[t]);
      if (trials[t].result.schedule.device.empty()) return;  // as another one
      const std::lock_guard lock(mutex);
      size_t gone[] = {t, best, least};
      if (best == none || better(t, best)) best = t;
      const bool limit_free = trials[t].candidate->limit_free && !trials[t].as_planned;
      if (limit_free && (least == none || std::tuple(peak(t), t) < std::tuple(peak(least), least)))
        least = t;
      for (size_t g : gone) {  // schedules are large
        if (g != best && g != least && g != none) trials[g].result = {};
      }
    });
    std::vector<Trial> result = {trials[best]};
    if (least != none && least != best) result.push_back(std::move(trials[least]));
    return result;
  }

 private:
  void Run(Trial& trial) const {
    const std::vector<int32_t> device = LiftToStep(*problem_.graph.step, trial.candidate->device);
    std::vector<int32_t> heights;
    if (trial.pipeline == Pipeline::k1F1B) {
      auto found = PipelineHeights(problem_.graph, device, problem_.cluster.size());
      if (!found && asked_ == Pipeline::kAuto) return;  // GPipe is tried anyway
      if (found) heights = std::move(*found);
      if (!found) trial.pipeline = Pipeline::kGpipe;
    }
    trial.result =
        EvaluateOrder(problem_, device,
                      PipelineOrder(problem_.graph, device, trial.pipeline, heights,
                                    trial.as_planned ? trial.candidate->rank : topological_));
  }

  const Problem& problem_;
  const std::vector<Candidate>& candidates_;
  Pipeline asked_;
  bool planned_;  // whether candidates know how passes ran with one micro-batch
  std::vector<int32_t> topological_;
};

// What is worth trying to fit: few, as each takes many simulations.
std::vector<Candidate> FewOf(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> few;
  for (size_t c = 0; c < candidates.size(); ++c) {
    if (c < 2 || candidates[c].always || c + 1 == candidates.size()) few.push_back(candidates[c]);
  }
  return few;
}

Problem MakeProblem(const Graph& step, const Cluster& cluster, const PlaceOptions& options) {
  return Problem(step, cluster, StepMemory(options), MustShare(step, options),
                 ParsePins(step, cluster, options.pin));
}

// Makes a step with one placement fit, by computing outputs again and by parameters on the host.
class TightStep {
 public:
  using Found = std::function<void(Member, const std::shared_ptr<const Graph>&)>;

  // `single` is the step with one micro-batch; the limits are those of `cluster`.
  TightStep(const Problem& single, const Candidate& candidate, int32_t count,
            const PlaceOptions& options, const Cluster& cluster)
      : single_(single),
        candidate_(candidate),
        count_(count),
        options_(options),
        cluster_(cluster) {}

  // As it is; before Fit().
  Member Plain() { return Run({}); }

  // `found` gets all that fit, where `plain` does not. With `fast` the first one ends it.
  void Fit(const Member& plain, bool fast, const Found& found) {
    fast_ = fast;
    found_ = &found;
    std::vector<uint8_t> over(cluster_.size());
    for (int32_t d = 0; d < cluster_.size(); ++d)
      over[d] = plain.result.memory.peak[d] > cluster_.devices[d].memory;
    const bool offload = options_.offload == Offload::kAuto;
    const bool recompute = options_.training.recompute == Recompute::kAuto;
    if (offload) MoveToHost(plain);
    if (recompute && !Done()) {
      FitByRecomputing(single_, candidate_.device, over, [&](const RecomputeSegments& segments) {
        if (Done()) return true;
        Member member = Run(segments);
        if (!member.usable()) return false;
        member.name += ", recomputing";
        Report(std::move(member));
        return true;
      });
    }
    if (!offload || !recompute) return;
    for (int32_t size = 2; size < 2 * single_.graph.step->forward.size() && !Done(); size *= 2) {
      const RecomputeSegments all = PricedSegments(single_, candidate_.device, over, size);
      if (all.empty()) continue;
      Member member = Run(all);
      member.name += ", recomputing";
      if (!member.usable()) MoveToHost(member);
    }
  }

 private:
  bool Done() const { return fast_ && any_; }

  void Report(Member member) {
    any_ = true;
    (*found_)(std::move(member), step_);
  }

  void MoveToHost(const Member& member) {
    const Problem problem = MakeProblem(*step_, cluster_, options_);
    if (auto fitted = Offloaded(problem, member, fast_)) Report(std::move(*fitted));
  }

  // The step with what runs again, which stays in `step_`.
  Member Run(const RecomputeSegments& segments) {
    StepOptions how = options_.training.ForStep(options_.optimizer, count_);
    how.recompute = segments;
    step_ = std::make_shared<const Graph>(BuildTrainingStep(single_.graph.step->forward, how));
    const Problem problem = MakeProblem(*step_, cluster_, options_);
    Member member{.algorithm = candidate_.algorithm};
    member.name = candidate_.name;
    if (count_ == 1) {
      member.result = Evaluate(problem, LiftToStep(*step_->step, candidate_.device));
    } else {
      const std::vector<Candidate> one = {candidate_};
      const Trial trial =
          Microbatches(problem, one, options_.training.schedule, /*planned=*/false).Best(1)[0];
      member.pipeline = kPipelineNames[static_cast<int>(trial.pipeline)].name;
      member.name += fmt::format(", {} micro-batches, {}", count_, member.pipeline);
      member.result = trial.result;
    }
    CountBytes(problem, member);
    member.seconds = SecondsNow() - from_;
    return member;
  }

  const Problem& single_;
  const Candidate& candidate_;
  int32_t count_;
  const PlaceOptions& options_;
  const Cluster& cluster_;
  const double from_ = SecondsNow();
  std::shared_ptr<const Graph> step_;
  bool fast_ = false, any_ = false;
  const Found* found_ = nullptr;
};

bool MayTighten(const PlaceOptions& options) {
  return options.training.recompute == Recompute::kAuto || options.offload == Offload::kAuto;
}

// Tries what would be the fastest placement, and does not fit.
void Tighten(const Problem& single, const Candidate& candidate, int32_t count,
             const PlaceOptions& options, TrainingPlan& plan) {
  TightStep tight(single, candidate, count, options, single.cluster);
  const Member plain = tight.Plain();
  const Member& best = plan.result.best;
  const bool could_win =
      !best.usable() || plain.result.schedule.makespan < best.result.schedule.makespan;
  if (plain.usable() || !could_win) return;
  tight.Fit(plain, false, [&](Member member, const std::shared_ptr<const Graph>& step) {
    if (!plan.result.members.empty() && !Better(member, plan.result.best)) return;
    plan.result.best = member;
    plan.step = step;
    plan.cyclic = false;
    plan.result.members.push_back(std::move(member));
  });
}

// The smallest equal limit, to 2 %, at which the candidates that are tried at every limit fit with
// the most micro-batches that are asked for.
std::optional<int64_t> SmallestTightLimit(const Problem& single, const Problem& last,
                                          const std::vector<Candidate>& candidates, int32_t count,
                                          const PlaceOptions& options,
                                          const std::vector<Member>& members) {
  const std::optional<int64_t> works = LimitThatWorks(members);
  if (!works || !MayTighten(options)) return works;
  const int64_t least =
      options.offload == Offload::kAuto ? LeastOffloadedLimit(last) : LeastLimit(last);
  return BisectLimit(least, *works, kLimitPrecision, [&](int64_t limit) {
    const Cluster limited = WithLimit(single.cluster, limit);
    for (const Candidate& candidate : candidates) {
      if (!candidate.always) continue;
      TightStep tight(single, candidate, count, options, limited);
      const Member plain = tight.Plain();
      bool fits = plain.usable();
      if (!fits) tight.Fit(plain, true, [&](const Member&, const auto&) { fits = true; });
      if (fits) return true;
    }
    return false;
  });
}

}  // namespace

MemoryOptions StepMemory(const PlaceOptions& options) {
  return {Mode::kTrain, options.optimizer, options.allocator_rounding};
}

TrainingPlan PlaceTraining(const Graph& forward, const Cluster& cluster,
                           const PlaceOptions& options, const SearchContext& context) {
  if (options.compat != Compat::kNone) {
    throw UsageError("the published programs know no training step", "--step training",
                     "--compat is for --step given");
  }
  const double begin = SecondsNow();
  const std::vector<int32_t> counts = options.training.MicrobatchCounts();
  TrainingPlan plan;
  const auto build = [&](int32_t count) {
    return std::make_shared<const Graph>(
        BuildTrainingStep(forward, options.training.ForStep(options.optimizer, count)));
  };
  const std::shared_ptr<const Graph> whole = plan.step = build(1);
  const Problem single = MakeProblem(*whole, cluster, options);
  int64_t annealed = 0;
  SearchContext heard = context;
  if (context.progress) {
    heard.progress = [&](std::string_view note, int64_t done) {
      annealed = done;
      context.progress(note, done);
    };
  }
  plan.result = Search(single, options, heard);
  const std::vector<Candidate> candidates =
      counts.back() > 1 || MayTighten(options)
          ? Candidates(single, plan.result.members, options.algo == Algorithm::kAuto)
          : std::vector<Candidate>();
  const Schedule& first = plan.result.best.result.schedule;
  if (counts.front() == 1) {
    plan.counts.push_back({1, "", first.makespan, plan.result.best.usable()});
  } else {
    plan.result.members.clear();
  }
  std::shared_ptr<const Graph> last = plan.step;  // what needs least memory
  for (int32_t count : counts) {
    if (count == 1 || candidates.empty()) continue;
    const double from = SecondsNow();
    std::shared_ptr<const Graph> step = build(count);
    const Problem problem = MakeProblem(*step, cluster, options);
    const std::vector<Trial> trials =
        Microbatches(problem, candidates, options.training.schedule).Best(context.threads);
    std::vector<Member> members;
    for (const Trial& trial : trials) {
      Member member;
      member.pipeline = kPipelineNames[static_cast<int>(trial.pipeline)].name;
      member.name =
          fmt::format("{}, {} micro-batches, {}", trial.candidate->name, count, member.pipeline);
      member.algorithm = trial.candidate->algorithm;
      member.limit_free = trial.candidate->limit_free && !trial.as_planned;
      member.result = trial.result;
      CountBytes(problem, member);
      member.seconds = SecondsNow() - from;
      members.push_back(std::move(member));
    }
    const Member& member = members[0];
    plan.counts.push_back(
        {count, member.pipeline, member.result.schedule.makespan, member.usable()});
    const bool fallen = options.training.schedule == Pipeline::k1F1B && member.pipeline == "gpipe";
    if (plan.result.members.empty() || Better(member, plan.result.best)) {
      plan.result.best = member;
      plan.step = step;
      plan.cyclic = fallen;
    }
    for (Member& tried : members) plan.result.members.push_back(std::move(tried));
    last = step;
    if (context.progress) context.progress(fmt::format("{} micro-batches tried", count), annealed);
  }
  if (MayTighten(options)) {
    for (const Candidate& candidate : FewOf(candidates)) {
      for (int32_t count : counts) Tighten(single, candidate, count, options, plan);
    }
  }
  const bool offload = options.offload == Offload::kAuto;
  if (!plan.result.best.usable()) {
    const Problem problem = MakeProblem(*last, cluster, options);
    ThrowInfeasible(problem, plan.result.members,
                    SmallestTightLimit(single, problem, candidates, counts.back(), options,
                                       plan.result.members),
                    offload);
  }
  const Problem chosen = MakeProblem(*plan.step, cluster, options);
  if (offload && chosen.memory_can_bind) {
    plan.result.bound = BoundWithHost(chosen);
  } else if (plan.step != whole) {
    plan.result.bound = ComputeLowerBound(chosen.ops, cluster, chosen.sizes.Resident());
  }
  Conclude(chosen, plan.result);
  plan.result.seconds = SecondsNow() - begin;
  return plan;
}

}  // namespace orchard::place
