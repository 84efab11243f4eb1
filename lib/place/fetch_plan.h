// When the parameters that live on the host come to their device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "place/host_plan.h"
#include "place/plan.h"

namespace orchard::place {

// Plans fetches for one placement and its order. Of what it makes, all was simulated and its memory
// replayed.
class FetchPlanner {
 public:
  // `base` is the placement with all parameters on their devices; it may overrun. Both must outlive
  // this.
  FetchPlanner(const Problem& problem, const Evaluated& base);

  // Every reader has a fetch of its own, which starts when the operator before it has ended: as
  // little memory as there can be with this order.
  Evaluated Late(const std::vector<int32_t>& ops);

  // The best of: parameters that stay between readers where there is room or not, with fetches as
  // early as memory allows or as early as their length asks for. Not slower than Late() where that
  // fits.
  Evaluated Plan(const std::vector<int32_t>& ops);

 private:
  // One reader's need, or that of several in a row.
  struct Visit {
    int32_t op = 0;
    int32_t first = 0, last = 0;  // positions in the device's order
    std::vector<int32_t> readers;
    int32_t after = 0;  // position of the operator whose end starts it, -1: none
    int64_t bytes = 0;
    int32_t hold = 0;  // last position at which it is there
  };
  using Visits = std::vector<Visit>;  // of one device, by `first`
  // Free bytes of each device while the operator at each position runs, or is waited for.
  using Room = std::vector<std::vector<int64_t>>;

  std::vector<Visits> SingleVisits(const HostPlan& plan) const;
  Evaluated Run(HostPlan plan, const std::vector<Visits>& visits);
  Room RoomWithoutFetches(const Evaluated& late) const;
  static void Take(std::vector<int64_t>& room, int32_t first, int32_t last, int64_t bytes);
  static void Join(Visits& visits, std::vector<int64_t>& room);
  std::vector<int32_t> Wanted(const Visits& visits, int32_t device) const;
  static void Advance(Visits& visits, std::vector<int64_t>& room,
                      const std::vector<int32_t>& wanted);

  const Problem& problem_;
  const Evaluated& base_;
  Simulator simulator_;
  std::vector<std::vector<int32_t>> readers_;  // of each operator's parameters
  std::vector<std::vector<int32_t>> order_;    // of each device, without updates on the host
  std::vector<int32_t> position_;
};

}  // namespace orchard::place
