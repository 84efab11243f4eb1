// What to tell when no placement fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "place/member.h"
#include "place/plan.h"

namespace orchard::place {

// The smallest equal limit at which some of `members` is the same placement as here, and fits.
std::optional<int64_t> LimitThatWorks(const std::vector<Member>& members);

// Throws ImpossibleError: the group that no device can hold if there is one, by how much the
// What is known about equal limits where nothing fits.
struct LimitsToTell {
  std::optional<int64_t> smallest;  // found to work; without one: LimitThatWorks
  std::optional<int64_t> least;     // that none can undercut; without one: that of the problem
  bool offload = false;             // parameters may live on the host
  std::string not_asked;            // options that could make something fit: "--offload auto"
  // Where some members have other operators: the problem that needs least memory.
  const Problem* tightest = nullptr;
};

// Throws ImpossibleError: the group that no device can hold if there is one, by how much the
// closest of `members` overruns which devices, the largest operators there that make up for it,
// and `limits`. `problem` is that of the closest.
[[noreturn]] void ThrowInfeasible(const Problem& problem, const std::vector<Member>& members,
                                  const LimitsToTell& limits = {});

}  // namespace orchard::place
