// Placing the operators of a forward graph so that a whole training step is fast, with
// micro-batches where they help.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "place/place.h"
#include "place/training_step.h"

namespace orchard::place {

struct TrainingPlan {
  std::shared_ptr<const Graph> step;  // with the micro-batches that were chosen
  PlaceResult result;                 // of the operators of `step`
  // What each number of micro-batches is worth, by its best placement.
  struct Count {
    int32_t microbatches = 1;
    std::string pipeline;  // "gpipe", "1f1b", "refined"; empty: one micro-batch
    Time makespan = 0;
    bool fits = false;
  };
  std::vector<Count> counts;
  bool cyclic = false;  // 1F1B was asked for, and the devices' graph has a cycle: GPipe
};

// Searches the step with one micro-batch as Place() does, then runs its best placements and
// contiguous splits of the graph with each number of micro-batches that `options` names, and
// refines those of several: never worse than before, and at most twice the annealing of one
// micro-batch. A time limit goes to one micro-batch and to several in halves. Throws as
// Place().
TrainingPlan PlaceTraining(const Graph& forward, const Cluster& cluster,
                           const PlaceOptions& options, const SearchContext& context = {});

// The same, with schedules, but the best may not fit.
TrainingPlan SearchTraining(const Graph& forward, const Cluster& cluster,
                            const PlaceOptions& options, const SearchContext& context = {});

// What memory holds in such a step.
MemoryOptions StepMemory(const PlaceOptions& options);

// The step of `forward` with so many micro-batches, as `options` describes it.
std::shared_ptr<const Graph> MakeStep(const Graph& forward, const PlaceOptions& options,
                                      int32_t microbatches);

// The problem of placing a step that MakeStep() made. `step` must outlive it.
Problem StepProblem(const Graph& step, const Cluster& cluster, const PlaceOptions& options);

}  // namespace orchard::place
