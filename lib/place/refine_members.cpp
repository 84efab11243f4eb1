#include "place/refine_members.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/clock.h"
#include "base/number_format.h"
#include "place/batch_anneal.h"
#include "place/batch_simulate.h"
#include "place/refine.h"
#include "place/refine_file.h"

namespace orchard::place {
namespace {

// Where chains begin: the three best members and a single device.
std::vector<const Member*> RefineStarts(const std::vector<Member>& members) {
  std::vector<const Member*> order, starts;
  for (const Member& member : members) {
    if (member.placed) order.push_back(&member);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const Member* a, const Member* b) { return Better(*a, *b); });
  const auto add = [&](const Member* member) {
    const auto same = [&](const Member* other) {
      return other->result.schedule.device == member->result.schedule.device;
    };
    if (std::none_of(starts.begin(), starts.end(), same)) starts.push_back(member);
  };
  for (const Member* member : order) {
    if (starts.size() < 3) add(member);
  }
  for (const Member* member : order) {
    if (member->algorithm == Algorithm::kSingle) add(member);
  }
  return starts;
}

std::vector<int32_t> RanksOf(const std::vector<int32_t>& order) {
  std::vector<int32_t> rank(order.size());
  for (size_t r = 0; r < order.size(); ++r) rank[order[r]] = static_cast<int32_t>(r);
  return rank;
}

// Each start with the order of its schedule.
std::vector<Candidate> PlansOf(const Problem& problem, const std::vector<const Member*>& starts) {
  std::vector<Candidate> plans;
  for (const Member* start : starts) {
    const Schedule& schedule = start->result.schedule;
    plans.push_back({schedule.device, RanksOf(OrderByStart(problem.ops, schedule))});
  }
  return plans;
}

// The starts with one of three ways to say who goes first: the order of the start's schedule, who
// was ready first, and the longest path to the end. The best start with all three comes first, then
// the others with their schedules' orders, then the rest.
std::vector<Candidate> CandidatesOf(const Problem& problem,
                                    const std::vector<const Member*>& starts) {
  std::vector<int32_t> by_path(problem.ops.size());
  std::iota(by_path.begin(), by_path.end(), 0);
  std::sort(by_path.begin(), by_path.end(), [&](int32_t a, int32_t b) {
    return std::pair(problem.priority[a], problem.ops.topo[a]) <
           std::pair(problem.priority[b], problem.ops.topo[b]);
  });
  enum class First { kAsPlanned, kReady, kLongestPath };
  std::vector<Candidate> candidates;
  const auto add = [&](const Member* start, First first) {
    const Schedule& schedule = start->result.schedule;
    Candidate candidate{schedule.device, {}};
    if (first == First::kAsPlanned) candidate.rank = RanksOf(OrderByStart(problem.ops, schedule));
    if (first == First::kLongestPath) candidate.rank = RanksOf(by_path);
    candidates.push_back(std::move(candidate));
  };
  for (First first : {First::kReady, First::kLongestPath, First::kAsPlanned}) add(starts[0], first);
  for (First first : {First::kAsPlanned, First::kReady, First::kLongestPath}) {
    for (size_t k = 1; k < starts.size(); ++k) add(starts[k], first);
  }
  return candidates;
}

// All operators in the order in which the candidate starts them.
std::vector<int32_t> OrderOf(const Problem& problem, const Candidate& candidate) {
  Simulator simulator(problem.ops, problem.cluster);
  if (!candidate.rank.empty()) simulator.SetRanks(candidate.rank);
  simulator.Run(candidate.device, candidate.rank.empty() ? Dispatch::kFifo : Dispatch::kPriority);
  return OrderByStart(problem.ops, simulator.Result());
}

}  // namespace

void AddRefined(const Problem& problem, const PlaceOptions& options, const SearchContext& context,
                std::vector<Member>& members) {
  if ((options.refine_steps == 0 && options.time_limit <= 0) || !CanRefine(problem)) return;
  const std::vector<const Member*> starts = RefineStarts(members);
  if (starts.empty()) return;
  const double begin = SecondsNow();
  RefineOptions refine{.seed = context.seed, .threads = context.threads};
  refine.seconds = options.time_limit;
  refine.steps = options.time_limit > 0 ? 0 : options.refine_steps;
  Time known = starts[0]->usable() ? starts[0]->result.schedule.makespan : kNever;
  RefineCalls calls;
  calls.progress = [&](const RefineProgress& done) {
    known = std::min(known, done.best);
    if (context.progress)
      context.progress(
          known < kNever ? "best " + FormatDuration(ToSeconds(known)) : "nothing fits yet",
          refine.seconds > 0 ? static_cast<int64_t>(done.seconds) : done.steps);
  };
  Member refined;
  refined.name = "refined";
  refined.algorithm = Algorithm::kAuto;
  Candidate found;
  std::vector<int32_t> order;
  if (context.cuda && CanBatchRefine(problem)) {
    // As many moves for each chain, but of 256 chains.
    const BatchRefineOptions batch{
        .batches = refine.seconds > 0 ? 0 : (refine.steps + kBatchLanes - 1) / kBatchLanes,
        .seconds = refine.seconds,
        .seed = context.seed,
        .threads = context.threads,
        .cuda = context.cuda};
    found = BatchRefine(problem, PlansOf(problem, starts), batch, calls);
    order.resize(found.rank.size());
    for (size_t i = 0; i < order.size(); ++i) order[found.rank[i]] = static_cast<int32_t>(i);
  } else {
    const RefineFile* file = context.file;
    std::optional<RefineState> state = file ? file->Load(problem) : std::nullopt;
    if (!state) state = BeginRefine(problem, CandidatesOf(problem, starts), refine);
    if (file) calls.checkpoint = [&](const RefineState& now) { file->Save(now); };
    found = Refine(problem, std::move(*state), refine, calls);
    order = OrderOf(problem, found);
  }
  refined.result = Evaluate(problem, found.device, order);
  CountBytes(problem, refined);
  refined.seconds = SecondsNow() - begin;
  members.push_back(std::move(refined));
}

}  // namespace orchard::place
