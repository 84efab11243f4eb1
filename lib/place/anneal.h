// One chain of simulated annealing over devices and priorities of operators.
//
// A step proposes to move units of some level to other devices (Granularity), or to swap two
// operators of one device in the order, and simulates what comes of it. The random number that
// decides is drawn first, so that the simulator knows from which makespan on the step will be
// refused, and gives up early. All that a chain is stands in ChainState.
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
  int32_t number = 0;  // names its random numbers
  Candidate current, best;
  RefineCost current_cost, best_cost;
  double start_value = 0;     // of the annealing: temperatures are parts of it
  double improved = 0;        // part of the budget at which the best was found
  uint64_t random_block = 0;  // next block of the chain's random numbers
};

// Of the budget, with the order that the start brings; afterwards moves change it, too.
inline constexpr double kDevicesPart = 0.6;
// What is minimised: the makespan, times more where memory is over the limit.
double AnnealValue(const RefineCost& cost, int64_t smallest_memory);
// At a fraction of the budget, in units of the starting value: from 0.2 % to 0.03 %.
double AnnealTemperature(double fraction);
// Of the smallest device, at least 1.
int64_t SmallestMemory(const Cluster& cluster);

class Chain {
 public:
  // Continues `state`.
  Chain(const Problem& problem, const Granularity& units, ChainState state, uint64_t seed);
  // A chain that begins at `start`.
  static ChainState Begin(const Problem& problem, Candidate start, int32_t number);

  // One move at `fraction` of the annealing.
  void Step(double fraction);

  const ChainState& state() const { return state_; }
  ChainState TakeState();

 private:
  bool Propose(bool devices_only);
  bool ProposeSwap();
  bool Measure(double most, RefineCost* cost, double* value);
  void Undo();
  void RankByStart();
  void Return();

  const Problem& problem_;
  const Granularity& units_;
  Simulator simulator_;
  ChainState state_;
  double value_ = 0;  // of the current cost
  RandomWords random_;
  MoveMaker moves_;
  int64_t smallest_ = INT64_MAX;   // memory of a device
  int32_t swapped_[2] = {-1, -1};  // operators whose ranks changed, or -1
};

}  // namespace orchard::place
