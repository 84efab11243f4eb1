#include "place/segments.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace orchard::place {
namespace {

// How far a cut has come: what every node still waits for, and which nodes could run.
struct State {
  std::vector<int32_t> waiting;
  std::vector<std::vector<int32_t>> ready;  // by device
  std::vector<int32_t> taken;               // devices of the segments so far
  size_t done = 0;
  int32_t left = 0;  // at least so many segments are still needed
};

class Cutter {
 public:
  Cutter(const std::vector<std::vector<int32_t>>& successors, const std::vector<int32_t>& device)
      : successors_(successors), device_(device) {
    for (int32_t d : device) devices_ = std::max(devices_, d + 1);
    FindChanges();
  }

  Segments Run() {
    std::vector<State> beam = {Start()};
    Segments result;
    result.least = std::max(beam[0].left, DistinctDevices());
    while (beam[0].done < device_.size()) beam = Advance(beam);
    result.device = beam[0].taken;
    result.segment = Assign(result.device);
    return result;
  }

 private:
  int32_t DistinctDevices() const {
    return static_cast<int32_t>(std::set<int32_t>(device_.begin(), device_.end()).size());
  }

  State Start() const {
    State state;
    state.waiting.assign(device_.size(), 0);
    state.ready.resize(static_cast<size_t>(devices_));
    for (const auto& list : successors_) {
      for (int32_t s : list) ++state.waiting[s];
    }
    for (size_t i = 0; i < device_.size(); ++i) {
      if (state.waiting[i] == 0) state.ready[device_[i]].push_back(static_cast<int32_t>(i));
    }
    state.left = Left(state);
    return state;
  }

  // Changes of device on the longest way, counted so, from a node to the end.
  void FindChanges() {
    std::vector<int32_t> waiting(device_.size(), 0), order;
    for (const auto& list : successors_) {
      for (int32_t s : list) ++waiting[s];
    }
    for (size_t i = 0; i < device_.size(); ++i) {
      if (waiting[i] == 0) order.push_back(static_cast<int32_t>(i));
    }
    for (size_t k = 0; k < order.size(); ++k) {
      for (int32_t s : successors_[order[k]]) {
        if (--waiting[s] == 0) order.push_back(s);
      }
    }
    changes_.assign(device_.size(), 0);
    for (size_t k = order.size(); k-- > 0;) {
      const int32_t i = order[k];
      for (int32_t s : successors_[i])
        changes_[i] = std::max(changes_[i], changes_[s] + (device_[s] != device_[i]));
    }
  }

  int32_t Left(const State& state) const {
    int32_t most = 0, waiting_devices = 0;
    for (const auto& list : state.ready) {
      waiting_devices += !list.empty();
      for (int32_t i : list) most = std::max(most, changes_[i] + 1);
    }
    return std::max(most, waiting_devices);
  }

  // Runs all that can run on `device`; calls `ran` for each node.
  template <class Ran>
  void Exhaust(State& state, int32_t device, Ran&& ran) const {
    std::vector<int32_t> stack;
    std::swap(stack, state.ready[device]);
    while (!stack.empty()) {
      const int32_t i = stack.back();
      stack.pop_back();
      ran(i);
      ++state.done;
      for (int32_t s : successors_[i]) {
        if (--state.waiting[s] > 0) continue;
        if (device_[s] == device) {
          stack.push_back(s);
        } else {
          state.ready[device_[s]].push_back(s);
        }
      }
    }
    state.taken.push_back(device);
  }

  std::vector<State> Advance(const std::vector<State>& beam) const {
    const size_t width = device_.size() <= 2000 ? 32 : device_.size() <= 20000 ? 4 : 1;
    std::vector<State> next;
    for (const State& state : beam) {
      for (int32_t d = 0; d < devices_; ++d) {
        if (state.ready[d].empty()) continue;
        next.push_back(state);
        Exhaust(next.back(), d, [](int32_t) {});
        next.back().left = Left(next.back());
      }
    }
    const auto key = [](const State& s) {
      return std::tuple(s.left, -static_cast<int64_t>(s.done));
    };
    std::stable_sort(next.begin(), next.end(),
                     [&](const State& a, const State& b) { return key(a) < key(b); });
    // What ran, and so what is left, follows from what every node waits for.
    next.erase(std::unique(next.begin(), next.end(),
                           [](const State& a, const State& b) {
                             return a.waiting == b.waiting && a.done == b.done;
                           }),
               next.end());
    if (next.size() > width) next.resize(width);
    return next;
  }

  std::vector<int32_t> Assign(const std::vector<int32_t>& taken) const {
    std::vector<int32_t> segment(device_.size(), -1);
    State state = Start();
    for (size_t k = 0; k < taken.size(); ++k)
      Exhaust(state, taken[k], [&](int32_t i) { segment[i] = static_cast<int32_t>(k); });
    return segment;
  }

  const std::vector<std::vector<int32_t>>& successors_;
  const std::vector<int32_t>& device_;
  int32_t devices_ = 0;
  std::vector<int32_t> changes_;
};

}  // namespace

Segments CutIntoSegments(const std::vector<std::vector<int32_t>>& successors,
                         const std::vector<int32_t>& device) {
  if (device.empty()) return {};
  return Cutter(successors, device).Run();
}

}  // namespace orchard::place
