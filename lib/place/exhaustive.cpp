#include "place/exhaustive.h"

#include <algorithm>
#include <tuple>

namespace orchard::place {
namespace {

// Goes through assignments of groups to devices like an odometer. With devices alike, a group takes
// at most one device that no group before it has ("restricted growth").
class Assignments {
 public:
  explicit Assignments(const Problem& problem)
      : alike_(DevicesAreAlike(problem)),
        devices_(problem.cluster.size()),
        pin_(problem.group_pin),
        of_group_(problem.ops.groups, 0),
        highest_(problem.ops.groups + 1, -1) {
    for (size_t g = 0; g < of_group_.size(); ++g) of_group_[g] = std::max(0, pin_[g]);
    Restart(0);
  }

  const std::vector<int32_t>& current() const { return of_group_; }

  bool Next() {
    for (auto g = static_cast<int32_t>(of_group_.size()) - 1; g >= 0; --g) {
      if (pin_[g] >= 0) continue;
      const int32_t last = alike_ ? std::min(devices_ - 1, highest_[g] + 1) : devices_ - 1;
      if (of_group_[g] == last) continue;
      ++of_group_[g];
      Restart(g + 1);
      return true;
    }
    return false;
  }

 private:
  // Groups from `first` on start over; highest_[g] is the highest device before group g.
  void Restart(int32_t first) {
    for (auto g = first; g < static_cast<int32_t>(of_group_.size()); ++g) {
      if (pin_[g] < 0) of_group_[g] = 0;
    }
    for (auto g = std::max(first - 1, 0); g < static_cast<int32_t>(of_group_.size()); ++g)
      highest_[g + 1] = std::max(highest_[g], of_group_[g]);
  }

  bool alike_;
  int32_t devices_;
  const std::vector<int32_t>& pin_;
  std::vector<int32_t> of_group_, highest_;
};

}  // namespace

bool DevicesAreAlike(const Problem& problem) {
  if (!problem.cluster.uniform() || !problem.ops.work_on.empty()) return false;
  for (const Device& device : problem.cluster.devices) {
    if (device.memory != problem.cluster.devices[0].memory) return false;
  }
  return std::all_of(problem.group_pin.begin(), problem.group_pin.end(),
                     [](int32_t pin) { return pin < 0; });
}

std::optional<int64_t> CountPlacements(const Problem& problem, int64_t limit) {
  // All assignments first: counting the canonical ones would take as long as trying them.
  double all = 1;
  for (int32_t pin : problem.group_pin) all *= pin < 0 ? problem.cluster.size() : 1;
  if (all > static_cast<double>(limit) * 64) return std::nullopt;
  Assignments assignments(problem);
  int64_t count = 1;
  while (assignments.Next()) {
    if (++count > limit) return std::nullopt;
  }
  return count;
}

Evaluated TryAll(const Problem& problem) {
  Assignments assignments(problem);
  std::vector<int32_t> device(problem.ops.size());
  Evaluated best;
  bool first = true;
  do {
    for (int32_t i = 0; i < problem.ops.size(); ++i)
      device[i] = assignments.current()[problem.ops.group[i]];
    Evaluated result = Evaluate(problem, device);
    if (first || std::tuple(result.excess, result.schedule.makespan) <
                     std::tuple(best.excess, best.schedule.makespan)) {
      best = std::move(result);
    }
    first = false;
  } while (assignments.Next());
  return best;
}

}  // namespace orchard::place
