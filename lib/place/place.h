// Placing a graph: every algorithm by itself, and the portfolio that is never worse than any of
// them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "place/bounds.h"
#include "place/member.h"
#include "place/options.h"
#include "place/plan.h"
#include "place/sct.h"
#include "place/search_context.h"
#include "run/case_store.h"
#include "run/shard.h"

namespace orchard::place {

struct PlaceResult {
  Member best;                  // feasible
  std::vector<Member> members;  // all that were tried; schedules are dropped but for `best`
  LowerBound bound;
  SctRegime regime;
  double seconds = 0;
  bool interrupted = false;  // by a signal, with what was best until then
};

// Groups of operators that every answer must keep together: those that the graph states, unless
// `group` is none.
std::vector<int32_t> MustShare(const Graph& graph, const PlaceOptions& options);

// Device of every operator that --pin names, else -1. Throws UsageError.
std::vector<int32_t> ParsePins(const Graph& graph, const Cluster& cluster,
                               const std::vector<std::string>& pins);

// All that `options.algo` tries, with schedules. The best may not fit.
PlaceResult Search(const Problem& problem, const PlaceOptions& options,
                   const SearchContext& context = {});

// That, and of what does not fit some with parameters on the host, where `options` allow it: for
// one pass. Throws UsageError as CheckOffload.
PlaceResult SearchWithHost(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context = {});

// Of a finished search: throws ImpossibleError when the best does not fit; drops what only it needs
// of the others; fills in the bounds.
void Conclude(const Problem& problem, PlaceResult& result);

// Throws ImpossibleError when nothing fits: by how much, what does not fit, and an equal limit for
// which this finds a placement.
PlaceResult Place(const Graph& graph, const Cluster& cluster, const PlaceOptions& options,
                  const SearchContext& context = {});

// Where the members of a comparison are kept and found again, and which of them one job makes.
struct KeptMembers {
  run::CaseStore store;
  run::Shard shard;
};

// What becomes of a member before it is compared: with another schedule, say. Called by threads.
using FinishMember = std::function<Member(Member)>;

// Every algorithm once, each with the best of its settings, feasible or not; ordered as
// kAlgorithmNames, without `auto`. Members that were kept have no schedule but its makespan. Of a
// shard, what is not its own and not kept yet is missing.
std::vector<Member> RunAll(const Problem& problem, const PlaceOptions& options,
                           const SearchContext& context = {}, const KeptMembers& kept = {},
                           const FinishMember& finish = {});

}  // namespace orchard::place
