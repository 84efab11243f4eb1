// Collectives beside a stream of kernels.
#pragma once

#include "comm/communicator.h"

namespace orchard::comm {

// Wait of such a collective makes the stream wait, not the thread: kernels that are enqueued
// afterwards see the result, the host does not yet.
class StreamCommunicator : public Communicator {
 public:
  // Returns when every collective that was waited for is done. Throws PeerError when a rank has
  // failed.
  virtual void Synchronize() = 0;

 protected:
  using Communicator::Communicator;
};

}  // namespace orchard::comm
