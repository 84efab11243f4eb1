// Runs one recipe: groups, fuses, plans, and evaluates what came out with true links and memory.
#pragma once

#include <cstdint>
#include <vector>

#include "place/member.h"
#include "place/memory_split.h"
#include "place/plan.h"
#include "place/recipe.h"
#include "place/sct.h"
#include "place/task_cache.h"

namespace orchard::place {

class Planner {
 public:
  Planner(const Problem& problem, const PlaceOptions& options, uint64_t seed)
      : problem_(problem),
        options_(options),
        seed_(seed),
        cache_(problem.graph, problem.cluster, options) {}

  // Before Run() on several threads.
  void Prepare(const Recipe& recipe) { cache_.Prepare(recipe); }

  Member Run(const Recipe& recipe) const;

 private:
  void Fixed(const Recipe& recipe, Member& member) const;
  void Single(Member& member) const;
  std::vector<int32_t> FromGroups(const std::vector<int32_t>& of_group) const;
  GroupFacts FactsOf(const TaskGraph& tasks) const;
  void RestorePins(std::vector<int32_t>& device) const;
  void PlanTasks(const Recipe& recipe, Member& member) const;
  Schedule Plan(const Recipe& recipe, const TaskGraph& tasks, const Cluster& cluster,
                const GroupFacts& facts, const Member& member) const;
  Schedule Adjusted(const TaskGraph& tasks, const Cluster& cluster, Schedule plan) const;
  SctLp SolveFavourites(const TaskGraph& tasks) const;
  void FindFavourites(const TaskGraph& tasks, Member& member) const;
  void FavouritesOfOperators(const TaskGraph& tasks, Member& member) const;
  void Published(const std::vector<int32_t>& device, Member& member) const;

  const Problem& problem_;
  const PlaceOptions& options_;
  uint64_t seed_;
  TaskCache cache_;
};

}  // namespace orchard::place
