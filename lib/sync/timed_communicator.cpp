#include "sync/timed_communicator.h"

#include <chrono>
#include <memory>

namespace orchard::sync {

using comm::Operation;

comm::Handle TimedCommunicator::Start(comm::Collective call) {
  // std::function needs what it holds to be copyable.
  const auto handle = std::make_shared<comm::Handle>(Pass(call));
  return comm::Handle([this, handle] {
    const auto begin = std::chrono::steady_clock::now();
    handle->Wait();
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  });
}

comm::Handle TimedCommunicator::Pass(const comm::Collective& call) {
  switch (call.operation) {
    case Operation::kAllReduce:
      return inner_.AllReduceAsync(call.out);
    case Operation::kReduceScatter:
      return inner_.ReduceScatterAsync(call.in, call.out);
    case Operation::kAllGather:
      return inner_.AllGatherAsync(call.in, call.out, call.counts);
    case Operation::kBroadcast:
      return inner_.BroadcastAsync(call.out, call.root);
    case Operation::kBarrier:
      inner_.Barrier();
      return {};
    case Operation::kSplit:
      break;  // goes to `inner` at once
  }
  return {};
}

// The blocking forms need no second thread.
void TimedCommunicator::Run(comm::Collective call) {
  const auto begin = std::chrono::steady_clock::now();
  switch (call.operation) {
    case Operation::kAllReduce:
      inner_.AllReduce(call.out);
      break;
    case Operation::kReduceScatter:
      inner_.ReduceScatter(call.in, call.out);
      break;
    case Operation::kAllGather:
      inner_.AllGather(call.in, call.out, call.counts);
      break;
    case Operation::kBroadcast:
      inner_.Broadcast(call.out, call.root);
      break;
    default:
      Pass(call).Wait();
  }
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void TimedCommunicator::Synchronize() {
  if (stream_ == nullptr) return;  // its Wait waits on this thread
  const auto begin = std::chrono::steady_clock::now();
  stream_->Synchronize();
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace orchard::sync
