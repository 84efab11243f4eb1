// The tasks that recipes plan, made once per grouping and fusion.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "place/cluster.h"
#include "place/recipe.h"
#include "place/task_graph.h"

namespace orchard::place {

// Prepare() all recipes first; Get() may then be called by several threads.
class TaskCache {
 public:
  TaskCache(const Graph& graph, const Cluster& cluster, const PlaceOptions& options)
      : graph_(graph), cluster_(cluster), options_(options) {}

  void Prepare(const Recipe& recipe);
  const TaskGraph& Get(const Recipe& recipe) const {
    return *cache_.at({recipe.grouping, recipe.fuse});
  }

 private:
  const Graph& graph_;
  const Cluster& cluster_;
  const PlaceOptions& options_;
  std::map<std::pair<Grouping, bool>, std::unique_ptr<TaskGraph>> cache_;
};

}  // namespace orchard::place
