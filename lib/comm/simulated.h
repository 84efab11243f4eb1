// Simulated ranks: N ranks in one process, for trying a distributed method on a laptop and for
// testing it.
//
// Every rank is a thread with its own stack, so the loop that runs under MPI runs here unchanged.
// The ranks run in lockstep: a baton goes round, and only its holder computes, until it waits for a
// collective that others have not reached. So a simulation needs the cores of one rank, prints in
// the same order every time, and cannot race. The last rank to reach a collective carries it out
// for all, with the arithmetic of reduce.h, hence with the bits of N MPI processes.
//
// The simulator also finds what MPI turns into a hang: ranks that wait for different collectives,
// or for a rank that has returned.
#pragma once

#include <functional>

#include "comm/communicator.h"

namespace orchard::comm {

// Calls body once per rank and returns when all have returned. When one throws, the others get
// PeerError at their next collective, and what the first one threw is thrown here. Throws PeerError
// when the ranks' collectives do not match.
//   ranks  >= 1
void RunSimulated(int ranks, const std::function<void(Communicator&)>& body,
                  const EngineOptions& options = {});

}  // namespace orchard::comm
