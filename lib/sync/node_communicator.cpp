#include "sync/node_communicator.h"

#include "base/error.h"

namespace orchard::sync {

using comm::Buffer;
using comm::Operation;

std::unique_ptr<comm::Communicator> NodeCommunicator::Split(int) {
  throw Error(ExitCode::kInternal, "nodes cannot be split");
}

comm::Handle NodeCommunicator::Start(comm::Collective call) {
  const comm::Traffic before = across_.traffic();
  Perform(call);
  const comm::Traffic after = across_.traffic();
  Count(call.operation, after.sent - before.sent, after.received - before.received);
  return {};
}

void NodeCommunicator::Perform(const comm::Collective& call) {
  const bool leads = node_.rank() == 0;
  switch (call.operation) {
    case Operation::kAllReduce:
      return AllReduce(call.out);
    // What differs between ranks of `across` is small or rare: one rank of a node fetches it.
    case Operation::kReduceScatter:
      if (leads) across_.ReduceScatter(call.in, call.out);
      return node_.Broadcast(call.out);
    case Operation::kAllGather:
      if (leads) across_.AllGather(call.in, call.out, call.counts);
      return node_.Broadcast(call.out);
    case Operation::kBroadcast:
      if (leads) across_.Broadcast(call.out, call.root);
      return node_.Broadcast(call.out);
    case Operation::kBarrier:
      across_.Barrier();
      return node_.Barrier();
    case Operation::kSplit:
      return;
  }
}

void NodeCommunicator::AllReduce(const Buffer& buffer) {
  const comm::Range own = comm::ChunkOf(buffer.count, node_.size(), node_.rank());
  const Buffer part(buffer.data + own.begin * comm::ElementSize(buffer.dtype), own.size(),
                    buffer.dtype);
  across_.AllReduce(part);
  node_.AllGather(part, buffer);
}

}  // namespace orchard::sync
