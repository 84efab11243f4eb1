// Collectives on memory that the engine cannot reach, by way of host memory: for ranks that share a
// GPU, and where there is no NCCL.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.h"

namespace orchard::comm {

// Host memory for messages, and the copies between it and the device.
class HostStage {
 public:
  virtual ~HostStage() = default;
  virtual void* Allocate(int64_t bytes) = 0;
  virtual void Free(void* host) = 0;
  // Each returns when the copy is done; one from the device waits for the work that was enqueued
  // before it.
  virtual void ToHost(void* host, const void* device, int64_t bytes) = 0;
  virtual void ToDevice(void* device, const void* host, int64_t bytes) = 0;
};

// The ranks of `inner`, which must outlive it; sums in rank order, as `inner` takes them. Buffers
// are on the device. A collective reads them when it is started, and writes them in Wait.
std::unique_ptr<Communicator> StageThroughHost(Communicator& inner,
                                               std::shared_ptr<HostStage> stage);

}  // namespace orchard::comm
