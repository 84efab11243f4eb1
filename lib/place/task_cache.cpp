#include "place/task_cache.h"

#include "place/fuse.h"

namespace orchard::place {

void TaskCache::Prepare(const Recipe& recipe) {
  if (!recipe.UsesGroups()) return;
  auto& tasks = cache_[{recipe.grouping, recipe.fuse}];
  if (tasks) return;
  const auto group =
      GroupOperators(graph_, recipe.grouping, cluster_, DefaultGroupCap(graph_, cluster_));
  TaskGraph plain = MakeTasks(graph_, group, {.compat = options_.compat != Compat::kNone});
  tasks = std::make_unique<TaskGraph>(
      recipe.fuse
          ? Fuse(plain, {.retopo = options_.retopo, .disjoint_paths = options_.fuse_disjoint_paths})
          : std::move(plain));
}

}  // namespace orchard::place
