#include "place/place_training.h"

#include <fmt/format.h>

#include <optional>

#include "base/clock.h"
#include "base/error.h"
#include "base/signals.h"
#include "place/infeasible.h"
#include "place/limits.h"
#include "place/microbatches.h"
#include "place/offload.h"
#include "place/refine_file.h"
#include "place/tight_step.h"

namespace orchard::place {
namespace {

constexpr double kLimitPrecision = 0.02;

// The smallest equal limit, to 2 %, at which the candidates that are tried at every limit fit with
// `count` micro-batches; `works` is one at which they do.
int64_t SmallestTightLimit(const Problem& single, const std::vector<StepCandidate>& candidates,
                           int32_t count, const PlaceOptions& options, int64_t least,
                           int64_t works) {
  return BisectLimit(least, works, kLimitPrecision, [&](int64_t limit) {
    const Cluster limited = WithLimit(single.cluster, limit);
    for (const StepCandidate& candidate : FewOf(candidates)) {
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

class TrainingSearch {
 public:
  TrainingSearch(const Graph& forward, const Cluster& cluster, const PlaceOptions& options,
                 const SearchContext& context)
      : forward_(forward),
        cluster_(cluster),
        options_(options),
        context_(context),
        counts_(options.training.MicrobatchCounts()),
        whole_(MakeStep(forward, options, 1)),
        single_(*whole_, cluster, StepMemory(options), MustShare(*whole_, options),
                ParsePins(*whole_, cluster, options.pin)) {}

  TrainingPlan Run() {
    const double begin = SecondsNow();
    const bool several = counts_.back() > 1;
    plan_.step = whole_;
    PlaceOptions part = options_;
    part.time_limit = several ? options_.time_limit / 2 : options_.time_limit;
    plan_.result = Search(single_, part, Heard(1));
    if (several || MayTighten(options_)) {
      candidates_ =
          StepCandidates(single_, plan_.result.members, options_.algo == Algorithm::kAuto);
    }
    const Schedule& first = plan_.result.best.result.schedule;
    if (counts_.front() == 1) {
      plan_.counts.push_back({1, "", first.makespan, plan_.result.best.usable()});
    } else {
      plan_.result.members.clear();
    }
    for (int32_t count : counts_) {
      if (count > 1 && !candidates_.empty()) Several(count);
    }
    RefineSeveral(part);
    // After a signal only what it takes to have a placement.
    if (MayTighten(options_) && !(StopRequested() && plan_.result.best.usable())) {
      for (const StepCandidate& candidate : FewOf(candidates_)) {
        for (int32_t count : counts_) Tighten(candidate, count);
      }
    }
    SetBound();
    plan_.result.interrupted = StopRequested();
    if (context_.file && !plan_.result.interrupted) context_.file->Remove();
    plan_.result.seconds = SecondsNow() - begin;
    return std::move(plan_);
  }

  // After Run() without a placement that fits. `members` are those of its plan.
  [[noreturn]] void Refuse(const TrainingPlan& plan) const {
    const std::vector<Member>& members = plan.result.members;
    const std::shared_ptr<const Graph> last = MakeStep(forward_, options_, counts_.back());
    const Problem tightest = StepProblem(*last, cluster_, options_);
    LimitsToTell limits{.least = LeastTrainingLimit(forward_, cluster_, options_),
                        .offload = options_.offload == Offload::kAuto,
                        .not_asked = NotAsked(),
                        .tightest = &tightest};
    if (const std::optional<int64_t> works = LimitThatWorks(members)) {
      const int64_t tight = MayTighten(options_)
                                ? SmallestTightLimit(single_, candidates_, counts_.back(), options_,
                                                     *limits.least, *works)
                                : *works;
      limits.smallest = SmallestTrainingLimit(forward_, cluster_, options_, context_, tight);
    }
    ThrowInfeasible(StepProblem(*plan.step, cluster_, options_), members, limits);
  }

 private:
  // What could make a step fit, and was not asked for.
  std::string NotAsked() const {
    std::string options;
    if (options_.training.recompute == Recompute::kOff) options = "--recompute auto";
    if (options_.offload == Offload::kOff)
      options += options.empty() ? "--offload auto" : " and --offload auto";
    return options;
  }

  // A number of micro-batches whose placements are worth annealing.
  struct Promising {
    int32_t count;
    std::shared_ptr<const Graph> step;
    std::vector<Member> starts;
  };

  void Several(int32_t count) {
    const std::shared_ptr<const Graph> step = MakeStep(forward_, options_, count);
    const Problem problem = StepProblem(*step, cluster_, options_);
    PipelinedMembers members =
        RunPipelined(problem, candidates_, options_.training.schedule, context_.threads);
    const Member& best = members.best[0];
    plan_.counts.push_back({count, best.pipeline, best.result.schedule.makespan, best.usable()});
    Take(best, step);
    if (members.least) plan_.result.members.push_back(std::move(*members.least));
    if (context_.progress)
      context_.progress(fmt::format("{} micro-batches tried", count), annealed_);
    if (options_.algo == Algorithm::kAuto && CanWin(problem))
      promising_.push_back({count, step, std::move(members.best)});
  }

  // Anneals several micro-batches for as long as one. Which number is best shows only then, so half
  // of the time goes to all of them in equal parts, the other half to the best.
  void RefineSeveral(const PlaceOptions& options) {
    if (promising_.empty()) return;
    const StopSignals stop;
    const auto parts = static_cast<int64_t>(promising_.size());
    const int64_t halves = parts > 1 ? 2 : 1;
    PlaceOptions part = options;
    part.time_limit = options.time_limit / static_cast<double>(halves * parts);
    if (options.refine_steps > 0)
      part.refine_steps = std::max<int64_t>(1, options.refine_steps / (halves * parts));
    for (Promising& promising : promising_) Refine(promising, part);
    if (parts == 1) return;
    part.time_limit = options.time_limit / 2;
    part.refine_steps = options.refine_steps / 2;
    Refine(*std::min_element(promising_.begin(), promising_.end(),
                             [](const Promising& x, const Promising& y) {
                               return Better(x.starts[0], y.starts[0]);
                             }),
           part);
  }

  void Refine(Promising& promising, const PlaceOptions& options) {
    const Problem problem = StepProblem(*promising.step, cluster_, options_);
    if (!CanWin(problem)) return;
    ++annealings_;
    if (StopRequested()) return;
    SearchContext context = Heard(promising.count);
    RefineFile file;
    if (context_.file) file = context_.file->Later(annealings_, promising.count);
    context.file = context_.file ? &file : nullptr;
    std::optional<Member> refined = RefinePipelined(problem, promising.starts, options, context);
    if (!refined) return;
    Take(*refined, promising.step);
    if (!Better(*refined, promising.starts[0])) return;
    for (TrainingPlan::Count& count : plan_.counts) {
      if (count.microbatches == promising.count)
        count = {promising.count, refined->pipeline, refined->result.schedule.makespan,
                 refined->usable()};
    }
    promising.starts.insert(promising.starts.begin(), std::move(*refined));
  }

  // Progress that goes on from what was annealed before; steps that simulate more count as more.
  SearchContext Heard(int32_t microbatches) {
    SearchContext heard = context_;
    if (context_.progress) {
      const int64_t weight = options_.time_limit > 0 ? 1 : microbatches;
      heard.progress = [this, weight, before = annealed_](std::string_view note, int64_t done) {
        annealed_ = before + weight * done;
        context_.progress(note, annealed_);
      };
    }
    return heard;
  }

  // Whether the bound leaves room for something better than the best so far.
  bool CanWin(const Problem& problem) const {
    const Member& best = plan_.result.best;
    return !best.usable() ||
           ComputeLowerBound(problem.ops, problem.cluster, problem.sizes.Resident()).value() <
               best.result.schedule.makespan;
  }

  void Take(const Member& member, const std::shared_ptr<const Graph>& step) {
    if (plan_.result.members.empty() || Better(member, plan_.result.best)) {
      plan_.result.best = member;
      plan_.step = step;
      plan_.cyclic = options_.training.schedule == Pipeline::k1F1B && member.pipeline == "gpipe";
    }
    plan_.result.members.push_back(member);
  }

  // Tries what would be the fastest placement, and does not fit.
  void Tighten(const StepCandidate& candidate, int32_t count) {
    TightStep tight(single_, candidate, count, options_, cluster_);
    const Member plain = tight.Plain();
    const Member& best = plan_.result.best;
    const bool could_win =
        !best.usable() || plain.result.schedule.makespan < best.result.schedule.makespan;
    if (plain.usable() || !could_win) return;
    tight.Fit(plain, false, [&](Member member, const std::shared_ptr<const Graph>& step) {
      if (!plan_.result.members.empty() && !Better(member, plan_.result.best)) return;
      plan_.result.best = member;
      plan_.step = step;
      plan_.cyclic = false;
      plan_.result.members.push_back(std::move(member));
    });
  }

  // Of the step that was chosen.
  void SetBound() {
    const Problem chosen = StepProblem(*plan_.step, cluster_, options_);
    const bool host = options_.offload == Offload::kAuto && chosen.memory_can_bind;
    if (host || plan_.step != whole_) plan_.result.bound = BoundFor(chosen, options_.offload);
  }

  const Graph& forward_;
  const Cluster& cluster_;
  const PlaceOptions& options_;
  const SearchContext& context_;
  const std::vector<int32_t> counts_;
  const std::shared_ptr<const Graph> whole_;  // the step with one micro-batch
  const Problem single_;
  std::vector<StepCandidate> candidates_;
  std::vector<Promising> promising_;
  TrainingPlan plan_;
  int annealings_ = 0;    // of several micro-batches
  int64_t annealed_ = 0;  // steps, or seconds, as progress counts them
};

void RefuseCompat(const PlaceOptions& options) {
  if (options.compat == Compat::kNone) return;
  throw UsageError("the published programs know no training step", "--step training",
                   "--compat is for --step given");
}

}  // namespace

MemoryOptions StepMemory(const PlaceOptions& options) {
  return {Mode::kTrain, options.optimizer, options.allocator_rounding};
}

std::shared_ptr<const Graph> MakeStep(const Graph& forward, const PlaceOptions& options,
                                      int32_t microbatches) {
  return std::make_shared<const Graph>(
      BuildTrainingStep(forward, options.training.ForStep(options.optimizer, microbatches)));
}

Problem StepProblem(const Graph& step, const Cluster& cluster, const PlaceOptions& options) {
  return Problem(step, cluster, StepMemory(options), MustShare(step, options),
                 ParsePins(step, cluster, options.pin));
}

TrainingPlan SearchTraining(const Graph& forward, const Cluster& cluster,
                            const PlaceOptions& options, const SearchContext& context) {
  RefuseCompat(options);
  return TrainingSearch(forward, cluster, options, context).Run();
}

TrainingPlan PlaceTraining(const Graph& forward, const Cluster& cluster,
                           const PlaceOptions& options, const SearchContext& context) {
  RefuseCompat(options);
  TrainingSearch search(forward, cluster, options, context);
  TrainingPlan plan = search.Run();
  if (!plan.result.best.usable()) search.Refuse(plan);
  Conclude(StepProblem(*plan.step, cluster, options), plan.result);
  return plan;
}

}  // namespace orchard::place
