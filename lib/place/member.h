// One answer to a placement problem, and how it came about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "place/options.h"
#include "place/plan.h"
#include "run/case_store.h"

namespace orchard::place {

// One algorithm with its settings, and what came of it.
struct Member {
  std::string name;  // "m-sct, coplace, fused"
  Algorithm algorithm = Algorithm::kSingle;
  bool placed = true;            // else it ran out of memory while planning
  Evaluated result;              // of the placement, where there is one
  int64_t sent_bytes = 0;        // by all transfers
  int32_t microbatches = 1;      // of a training step; 0: a mean over several numbers
  std::string pipeline;          // of several micro-batches: "gpipe", "1f1b" or "refined"
  double seconds = 0;            // of planning and simulation
  double plan_seconds = 0;       // of planning alone, favourites included, grouping and fusion not
  Time published_makespan = -1;  // by the official simulator, with `compat`
  std::vector<int32_t> favourite;  // m-SCT: favourite child of each operator, or -1
  double lp_objective_us = -1;     // m-SCT: of the linear programme, and a proven bound of it
  double lp_bound_us = -1;
  Time with_memory = -1;     // with parameters on the host: makespan if all were on the devices
  bool recomputing = false;  // of a training step: operators run again in the backward pass
  bool limit_free = false;  // the same whatever the devices' memory: its peak is a limit that works
  bool usable() const { return placed && result.feasible(); }
};

// What is better: what fits, then what is fast.
bool Better(const Member& a, const Member& b);

// What tables show of a member, for a file, and back. The schedule comes back with its makespan
// alone.
run::Numbers NumbersOf(const Member& member);
Member MemberOf(const std::string& name, Algorithm algorithm, const run::Numbers& numbers);

// "m-etf, coplace, 8 micro-batches, 1f1b".
std::string PipelinedName(const std::string& name, int32_t microbatches,
                          const std::string& pipeline);

// Fills `sent_bytes` from the schedule.
void CountBytes(const Problem& problem, Member& member);

}  // namespace orchard::place
