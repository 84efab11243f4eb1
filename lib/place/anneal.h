// One chain of simulated annealing over devices and priorities of operators.
//
// A step proposes to move units to other devices (MoveUnits), or to swap two operators of one
// device in the order, and simulates what comes of it. The random number that decides is drawn
// first, so that the simulator knows from which makespan on the step will be refused, and gives up
// early. All that a chain is stands in ChainState.
#pragma once

#include <cstdint>
#include <vector>

#include "place/moves.h"
#include "place/plan.h"

namespace orchard::place {

struct RefineCost {
  Time makespan = kNever;
  int64_t excess = 0;  // bytes over the limits
  bool operator<(const RefineCost& other) const {
    return excess != other.excess ? excess < other.excess : makespan < other.makespan;
  }
};

// Devices of all operators, and who goes first: ranks, or with none, who was ready first.
struct Candidate {
  std::vector<int32_t> device, rank;
};

// A chain between two steps; plain data, to be stored and read back.
struct ChainState {
  Candidate current, best;
  RefineCost current_cost, best_cost;
  double start_value = 0;     // of the annealing: temperatures are parts of it
  double improved = 0;        // part of the budget at which the best was found
  uint64_t random_block = 0;  // next block of the chain's random numbers
};

// Of the budget, for moves of whole coplaced groups.
inline constexpr double kCoarsePart = 0.6;
// What is minimised: the makespan, times more where memory is over the limit.
double AnnealValue(const RefineCost& cost, int64_t smallest_memory);
// At a fraction of the budget, in units of the starting value: from 1 % to 0.01 %, twice.
double AnnealTemperature(double fraction);
// Of the smallest device, at least 1.
int64_t SmallestMemory(const Cluster& cluster);

class Chain {
 public:
  // Continues `state`. `number` names the chain's random numbers.
  Chain(const Problem& problem, const Granularity& units, ChainState state, uint64_t seed,
        int32_t number);
  // A chain that begins at `start`.
  static ChainState Begin(const Problem& problem, Candidate start);

  // One move at `fraction` of the annealing.
  void Step(double fraction);

  const ChainState& state() const { return state_; }
  ChainState TakeState();

 private:
  bool Propose(bool coarse);
  bool ProposeSwap();
  bool Measure(double most, RefineCost* cost, double* value);
  void Undo();
  void RankByStart();
  void Return();

  const Problem& problem_;
  const Granularity& levels_;
  const MoveUnits* units_;  // of the phase
  Simulator simulator_;
  ChainState state_;
  double value_ = 0;  // of the current cost
  RandomWords random_;
  MoveMaker moves_;
  int64_t smallest_ = INT64_MAX;   // memory of a device
  int32_t swapped_[2] = {-1, -1};  // operators whose ranks changed, or -1
};

}  // namespace orchard::place
