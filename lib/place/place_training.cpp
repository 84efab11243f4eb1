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
#include "place/pipeline_order.h"
#include "place/pipeline_split.h"
#include "place/recompute.h"

namespace orchard::place {
namespace {

constexpr size_t kCandidates = 8;  // placements of one micro-batch that are tried with several

// A placement of the forward operators, and the order in which they ran with one micro-batch.
struct Candidate {
  std::string name;
  Algorithm algorithm = Algorithm::kAuto;
  bool limit_free = false;
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
      return;
    }
    candidate.rank = RankOf(step, OrderByStart(single.ops, schedule));
    candidates.push_back(std::move(candidate));
  };
  for (const Member* member : order) {
    const bool one = member->algorithm == Algorithm::kSingle;
    if (candidates.size() >= kCandidates && !one) continue;
    const Schedule& schedule = member->result.schedule;
    add({member->name, member->algorithm, one, LowerToForward(step, schedule.device), {}},
        schedule);
  }
  for (int32_t stages = 2; portfolio && stages <= single.cluster.size(); ++stages) {
    for (const bool transfers : {false, true}) {
      const std::vector<int32_t> device = SplitPipeline(single, stages, transfers);
      const Evaluated result = Evaluate(single, LiftToStep(step, device));
      add({fmt::format("{} stages{}", stages, transfers ? ", transfers counted" : ""),
           Algorithm::kAuto,
           true,
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

// What is worth trying with recomputation: few, as each takes many simulations.
std::vector<Candidate> FewOf(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> few;
  for (size_t c = 0; c < candidates.size(); ++c) {
    if (c < 2 || candidates[c].algorithm == Algorithm::kSingle || c + 1 == candidates.size())
      few.push_back(candidates[c]);
  }
  return few;
}

Problem MakeProblem(const Graph& step, const Cluster& cluster, const PlaceOptions& options) {
  return Problem(step, cluster, StepMemory(options), MustShare(step, options),
                 ParsePins(step, cluster, options.pin));
}

// Makes a placement that would be the fastest fit by computing outputs again.
void Recomputed(const Graph& forward, const Problem& single, const Candidate& candidate,
                int32_t count, const PlaceOptions& options, const Cluster& cluster,
                TrainingPlan& plan) {
  const double from = SecondsNow();
  const auto run = [&](const RecomputeSegments& segments, std::shared_ptr<const Graph>& step) {
    StepOptions how = options.training.ForStep(options.optimizer, count);
    how.recompute = segments;
    step = std::make_shared<const Graph>(BuildTrainingStep(forward, how));
    const Problem problem = MakeProblem(*step, cluster, options);
    Member member{.algorithm = candidate.algorithm};
    member.name = candidate.name;
    if (count == 1) {
      member.result = Evaluate(problem, LiftToStep(*step->step, candidate.device));
    } else {
      const std::vector<Candidate> one = {candidate};
      const Trial trial =
          Microbatches(problem, one, options.training.schedule, /*planned=*/false).Best(1)[0];
      member.pipeline = kPipelineNames[static_cast<int>(trial.pipeline)].name;
      member.name += fmt::format(", {} micro-batches, {}", count, member.pipeline);
      member.result = trial.result;
    }
    CountBytes(problem, member);
    member.seconds = SecondsNow() - from;
    return member;
  };
  std::shared_ptr<const Graph> step;
  const Member without = run({}, step);
  const auto faster = [&](const Member& member) {
    return plan.result.members.empty() || Better(member, plan.result.best);
  };
  const bool could_win =
      !plan.result.best.usable() ||
      without.result.schedule.makespan < plan.result.best.result.schedule.makespan;
  if (without.usable() || !could_win) return;
  std::vector<uint8_t> over(cluster.size());
  for (int32_t d = 0; d < cluster.size(); ++d)
    over[d] = without.result.memory.peak[d] > cluster.devices[d].memory;
  FitByRecomputing(single, candidate.device, over, [&](const RecomputeSegments& segments) {
    Member member = run(segments, step);
    if (!member.usable() || !faster(member)) return member.usable();
    member.name += ", recomputing";
    plan.result.best = member;
    plan.step = step;
    plan.cyclic = false;
    plan.result.members.push_back(std::move(member));
    return true;
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
      counts.back() > 1 || options.training.recompute == Recompute::kAuto
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
  if (options.training.recompute == Recompute::kAuto) {
    for (const Candidate& candidate : FewOf(candidates)) {
      for (int32_t count : counts)
        Recomputed(forward, single, candidate, count, options, cluster, plan);
    }
  }
  if (!plan.result.best.usable())
    ThrowInfeasible(MakeProblem(*last, cluster, options), plan.result.members);
  Conclude(MakeProblem(*plan.step, cluster, options), plan.result);
  plan.result.seconds = SecondsNow() - begin;
  return plan;
}

}  // namespace orchard::place
