#include "place/microbatches.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <tuple>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "place/pipeline_order.h"
#include "place/pipeline_split.h"
#include "place/refine_members.h"

namespace orchard::place {
namespace {

constexpr size_t kCandidates = 8;  // placements of one micro-batch that are tried with several
constexpr size_t kBest = 3;        // whose schedules are kept

std::vector<int32_t> RankOf(const StepOrigin& step, const std::vector<int32_t>& order) {
  std::vector<int32_t> rank(size_t{kStepKinds} * step.forward.size(), 0);
  for (size_t at = 0; at < order.size(); ++at) {
    const StepOp& op = step.ops[order[at]];
    rank[static_cast<size_t>(op.kind) * step.forward.size() + op.forward] =
        static_cast<int32_t>(at);
  }
  return rank;
}

// One candidate in one order.
struct Trial {
  const StepCandidate* candidate = nullptr;
  Pipeline pipeline = Pipeline::kGpipe;
  bool as_planned = false;  // passes run as with one micro-batch; else in topological order
  Evaluated result;
};

class Trials {
 public:
  Trials(const Problem& problem, const std::vector<StepCandidate>& candidates, Pipeline asked)
      : problem_(problem), asked_(asked), begin_(SecondsNow()) {
    for (const StepCandidate& candidate : candidates) {
      for (const bool as_planned : {true, false}) {
        if (as_planned && candidate.rank.empty()) continue;
        if (asked != Pipeline::k1F1B) trials_.push_back({&candidate, Pipeline::kGpipe, as_planned});
        if (asked != Pipeline::kGpipe) trials_.push_back({&candidate, Pipeline::k1F1B, as_planned});
      }
    }
    // The index of a step with one micro-batch would do as well: all copies are alike.
    std::vector<int32_t> order(problem.ops.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](int32_t a, int32_t b) { return problem.ops.topo[a] < problem.ops.topo[b]; });
    std::erase_if(order, [&](int32_t s) { return problem.graph.step->ops[s].microbatch != 0; });
    topological_ = RankOf(*problem.graph.step, order);
  }

  PipelinedMembers Run(int threads) {
    std::mutex mutex;
    ThreadPool(std::max(1, threads))
        .ForEach(static_cast<int64_t>(trials_.size()), [&](int64_t index) {
          const auto t = static_cast<size_t>(index);
          Simulate(trials_[t]);
          if (trials_[t].result.schedule.device.empty()) return;  // as another one
          const std::lock_guard lock(mutex);
          Keep(t);
        });
    PipelinedMembers members;
    for (size_t t : best_) members.best.push_back(MemberOf(trials_[t]));
    if (least_ && *least_ != best_[0]) members.least = MemberOf(trials_[*least_]);
    return members;
  }

 private:
  int64_t Peak(size_t t) const {
    const auto& peaks = trials_[t].result.memory.peak;
    return *std::max_element(peaks.begin(), peaks.end());
  }

  // What fits, then what is fast, then what needs less.
  bool Precedes(size_t a, size_t b) const {
    const auto key = [&](size_t t) {
      const Evaluated& result = trials_[t].result;
      return std::tuple(result.excess, result.schedule.makespan, Peak(t), t);
    };
    return key(a) < key(b);
  }

  // Keeps the best of every candidate, of the best candidates, and drops the others: schedules are
  // large.
  void Keep(size_t t) {
    const std::vector<size_t> before = best_;
    const std::optional<size_t> least_before = least_;
    const bool limit_free = trials_[t].candidate->limit_free && !trials_[t].as_planned;
    if (limit_free && (!least_ || std::tuple(Peak(t), t) < std::tuple(Peak(*least_), *least_)))
      least_ = t;
    const auto same = std::find_if(best_.begin(), best_.end(), [&](size_t other) {
      return trials_[other].candidate == trials_[t].candidate;
    });
    if (same == best_.end()) {
      best_.push_back(t);
    } else if (Precedes(t, *same)) {
      *same = t;
    }
    std::sort(best_.begin(), best_.end(), [&](size_t a, size_t b) { return Precedes(a, b); });
    if (best_.size() > kBest) best_.pop_back();
    const auto drop = [&](size_t gone) {
      const bool kept = std::find(best_.begin(), best_.end(), gone) != best_.end();
      if (!kept && gone != least_) trials_[gone].result = {};
    };
    for (size_t other : before) drop(other);
    if (least_before) drop(*least_before);
    drop(t);
  }

  void Simulate(Trial& trial) const {
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

  Member MemberOf(const Trial& trial) const {
    Member member;
    member.microbatches = problem_.graph.step->options.microbatches;
    member.pipeline = kPipelineNames[static_cast<int>(trial.pipeline)].name;
    member.name = PipelinedName(trial.candidate->name, member.microbatches, member.pipeline);
    member.algorithm = trial.candidate->algorithm;
    member.limit_free = trial.candidate->limit_free && !trial.as_planned;
    member.result = trial.result;
    CountBytes(problem_, member);
    member.seconds = SecondsNow() - begin_;
    return member;
  }

  const Problem& problem_;
  Pipeline asked_;
  double begin_;
  std::vector<int32_t> topological_;
  std::vector<Trial> trials_;
  std::vector<size_t> best_;  // trials
  std::optional<size_t> least_;
};

}  // namespace

StepCandidate CandidateOf(const Problem& single, const Member& member) {
  const StepOrigin& step = *single.graph.step;
  const Schedule& schedule = member.result.schedule;
  return {.name = member.name,
          .algorithm = member.algorithm,
          .limit_free = member.algorithm == Algorithm::kSingle,
          .always = member.algorithm == Algorithm::kSingle,
          .device = LowerToForward(step, schedule.device),
          .rank = RankOf(step, OrderByStart(single.ops, schedule))};
}

std::vector<StepCandidate> StepCandidates(const Problem& single, const std::vector<Member>& members,
                                          bool portfolio) {
  const StepOrigin& step = *single.graph.step;
  std::vector<const Member*> order;
  for (const Member& member : members) {
    if (member.placed) order.push_back(&member);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Member* a, const Member* b) { return Better(*a, *b); });
  std::vector<StepCandidate> candidates;
  const auto add = [&](StepCandidate candidate) {
    for (StepCandidate& other : candidates) {
      if (other.device != candidate.device) continue;
      other.limit_free = other.limit_free || candidate.limit_free;
      other.always = other.always || candidate.always;
      return;
    }
    candidates.push_back(std::move(candidate));
  };
  for (const Member* member : order) {
    if (candidates.size() < kCandidates || member->algorithm == Algorithm::kSingle)
      add(CandidateOf(single, *member));
  }
  for (int32_t stages = 2; portfolio && stages <= single.cluster.size(); ++stages) {
    for (const bool transfers : {false, true}) {
      const std::vector<int32_t> device = SplitPipeline(single, stages, transfers);
      const Evaluated result = Evaluate(single, LiftToStep(step, device));
      add({.name = fmt::format("{} stages{}", stages, transfers ? ", transfers counted" : ""),
           .limit_free = true,
           .always = stages == single.cluster.size() && transfers,
           .device = device,
           .rank = RankOf(step, OrderByStart(single.ops, result.schedule))});
    }
  }
  return candidates;
}

PipelinedMembers RunPipelined(const Problem& step, const std::vector<StepCandidate>& candidates,
                              Pipeline asked, int threads) {
  return Trials(step, candidates, asked).Run(threads);
}

int64_t PipelinedRefineSteps(const PlaceOptions& options, int32_t microbatches) {
  return options.refine_steps == 0 ? 0 : std::max<int64_t>(1, options.refine_steps / microbatches);
}

std::optional<Member> RefinePipelined(const Problem& step, const std::vector<Member>& starts,
                                      const PlaceOptions& options, const SearchContext& context) {
  const double begin = SecondsNow();
  const int32_t count = step.graph.step->options.microbatches;
  PlaceOptions shorter = options;  // a move simulates so many times as many operators
  shorter.refine_steps = PipelinedRefineSteps(options, count);
  std::vector<Member> members = starts;
  AddRefined(step, shorter, context, members);
  if (members.size() == starts.size()) return std::nullopt;
  Member free_order = std::move(members.back());
  const StepCandidate devices{
      .name = "refined",
      .device = LowerToForward(*step.graph.step, free_order.result.schedule.device)};
  Member pipelined =
      RunPipelined(step, {devices}, options.training.schedule, context.threads).best[0];
  pipelined.seconds = SecondsNow() - begin;
  if (options.training.schedule != Pipeline::kAuto || Better(pipelined, free_order))
    return pipelined;
  free_order.microbatches = count;
  free_order.pipeline = "refined";
  free_order.name = fmt::format("refined, {} micro-batches", count);
  free_order.seconds = pipelined.seconds;
  return free_order;
}

}  // namespace orchard::place
