// The MPI engine: one process per rank, started by mpirun or srun.
//
// Every collective is a non-blocking MPI call that this engine polls, so that a wait can notice
// that a peer has failed:
//  - a rank whose body throws announces its exit code, and every other rank gets PeerError at its
//  next wait;
//  - a rank that is killed is noticed by the ranks on its own machine through its pidfd; on other
//  machines the launcher ends them.
// At exit a failed rank waits a little for the others to arrive, so that each can report and return
// its own exit code, and otherwise ends the job with MPI_Abort. No rank is left hanging.
//
// Asynchronous collectives run in order on one worker thread; Open MPI moves data only inside its
// calls, and the worker makes them. MPI is initialised on first use (MPI_THREAD_SERIALIZED: one
// thread at a time is inside MPI), never by a plain start.
#pragma once

#include <functional>

#include "comm/communicator.h"

namespace orchard::comm {

// True when the environment says that an MPI launcher started this process (mpirun, or srun with
// PMI or PMIx). Touches no MPI.
bool LaunchedByMpi();

// Calls body with the communicator of all processes of the job. Throws what body throws, and
// PeerError when this build has no MPI. The first exception leaves the job broken: the process must
// end, and does so with the exit code that it returns from main.
void RunMpi(const std::function<void(Communicator&)>& body, const EngineOptions& options = {});

}  // namespace orchard::comm
