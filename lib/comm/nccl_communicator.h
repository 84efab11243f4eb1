// The NCCL engine: collectives on GPU memory, one GPU per rank. libnccl.so.2 is loaded at run time,
// so that nothing needs it before a job asks for it; its id travels over the MPI communicator.
//
// Differences from the CPU engines, all from the library: sums are in an order of its choice (the
// same in every run of one set-up, and the same bits on all ranks); BF16, F16 and I8 sum in their
// own type; a reduce-scatter does not widen.
#pragma once

#include <memory>

#include "comm/stream_communicator.h"

namespace orchard::comm {

// When collectives run, for a cudaStream_t of the caller.
enum class StreamOrder {
  kOn,      // on it: `Wait` returns when all of it is done
  kBeside,  // on a stream of their own, behind what has been enqueued so far: `Wait` makes the
            // caller's stream wait and returns at once, `Synchronize` waits for the end
};

// True when this build has the NCCL engine and libnccl.so.2 can be loaded.
bool HaveNccl();

// The GPU of this process among those of its machine, by the launcher's local rank; 0 without one.
int LocalRank();

// A communicator of the same ranks as `bootstrap` for buffers on CUDA device `device`; a collective
// call. `bootstrap` must outlive it.
// Throws ResourceError when NCCL is missing, PeerError when it fails.
std::unique_ptr<StreamCommunicator> OpenNccl(Communicator& bootstrap, int device, void* stream,
                                             StreamOrder order = StreamOrder::kOn);

}  // namespace orchard::comm
