// Collectives on the memory of a GPU, by whichever way there is.
#pragma once

#include <memory>

#include "comm/stream_communicator.h"

namespace orchard::comm {

// A communicator of the same ranks as `bootstrap`, which must outlive it, for buffers on CUDA
// device `device` of this process; a collective call.
//   - NCCL, where every rank has a GPU of its own and all can load the library
//   - else pinned host memory and `bootstrap`: ranks that share a GPU, simulated ranks, no NCCL
//   stream  cudaStream_t: collectives read what was enqueued on it before, and what is enqueued
//           after Wait reads their results
// Throws ResourceError where this build has no CUDA, PeerError when NCCL fails.
std::unique_ptr<Communicator> OpenDeviceRanks(Communicator& bootstrap, int device, void* stream);

// The first way, beside `stream` (StreamOrder::kBeside), or null where there is none. A collective
// call.
std::unique_ptr<StreamCommunicator> OpenNcclBeside(Communicator& bootstrap, int device,
                                                   void* stream);

}  // namespace orchard::comm
