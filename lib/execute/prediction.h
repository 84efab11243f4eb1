// What the simulator says of a layout: a forward pass, or a whole training step.
#pragma once

#include <memory>

#include "execute/executor.h"
#include "place/cluster.h"
#include "place/graph.h"
#include "place/schedule.h"
#include "place/task_graph.h"

namespace orchard::execute {

struct Prediction {
  place::Graph graph;  // of a training step: operators, then their backward passes
  place::TaskGraph tasks;
  place::Schedule schedule;
  double us() const { return place::ToMicroseconds(schedule.makespan); }
};

// With `train` every operator that states a backward time gets a backward operator on its device,
// with the edges turned round; a device runs its forward operators, then the backward ones in
// reverse, then the updates of those that state a time for it. Without, parameters that the layout
// keeps on the host are fetched.
Prediction Predict(const place::Graph& graph, const place::Cluster& cluster, const Layout& layout,
                   bool train);

}  // namespace orchard::execute
