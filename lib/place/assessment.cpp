#include "place/assessment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/number_format.h"
#include "place/training_step.h"

namespace orchard::place {
namespace {

std::string TimeText(Time time) { return FormatDuration(ToSeconds(time)); }

// Where the bound comes from; of equal ones the simplest.
std::string WhyNotLess(const LowerBound& bound) {
  const Time least = bound.value();
  if (bound.critical_path == least)
    return "the longest chain of operators takes that long on the fastest device";
  if (bound.work == least)
    return "all compute takes that long with every device busy from beginning to end";
  if (bound.joined == least)
    return "operators that memory, groups or transfers keep together take that long on one device";
  return "a search or an integer programme proved it";
}

// What the bound is about: of a training step the one that was chosen.
std::string WhatIsPlaced(const Problem& problem) {
  if (!problem.graph.step) return "no placement";
  const StepOptions& step = problem.graph.step->options;
  const std::string again = step.recompute.empty() ? "" : ", computing the same again,";
  return step.microbatches == 1
             ? "no placement of the whole batch" + again
             : fmt::format("no placement of {} micro-batches{}", step.microbatches, again);
}

int64_t DevicesUsed(const Schedule& schedule) {
  return std::count_if(schedule.order.begin(), schedule.order.end(),
                       [](const auto& order) { return !order.empty(); });
}

std::string Gain(const Problem& problem, const Schedule& schedule,
                 const std::vector<Member>& members) {
  if (DevicesUsed(schedule) == 1) {
    return problem.cluster.size() == 1
               ? "there is one device"
               : "everything is on one device: of what was tried, nothing that sends tensors to "
                 "another one is faster";
  }
  const auto single = std::find_if(members.begin(), members.end(), [](const Member& member) {
    return member.algorithm == Algorithm::kSingle;
  });
  if (single != members.end() && single->placed && !single->usable())
    return "everything on one device does not fit";
  const bool known = single != members.end() && single->placed;
  const Time alone = known ? single->result.schedule.makespan : problem.ops.TotalWork();
  const bool whole = known && problem.graph.step && single->microbatches == 1;
  return fmt::format("{} on one device takes {}, {:.2f} times as long",
                     whole ? "the whole batch" : "everything", TimeText(alone),
                     static_cast<double>(alone) / static_cast<double>(schedule.makespan));
}

}  // namespace

Assessment Assess(const Problem& problem, const Evaluated& placement, const LowerBound& bound,
                  const std::vector<Member>& members) {
  const Time makespan = placement.schedule.makespan, least = bound.value();
  const std::string what = WhatIsPlaced(problem);
  Assessment result;
  result.reason =
      fmt::format("{} can take less than {}: {}", what, TimeText(least), WhyNotLess(bound));
  if (makespan <= least) {
    result.distance = what + " is faster";
  } else if (least > 0) {
    result.distance =
        fmt::format("at most {:.1f} % above the best possible",
                    100.0 * static_cast<double>(makespan - least) / static_cast<double>(least));
  } else {
    result.distance = "nothing is known about the best possible";
  }
  if (makespan > 0) result.gain = Gain(problem, placement.schedule, members);
  return result;
}

}  // namespace orchard::place
