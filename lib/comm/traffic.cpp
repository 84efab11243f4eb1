#include "comm/traffic.h"

namespace orchard::comm {

Traffic TrafficOf(const Collective& call, int size, int rank, const EngineOptions& options) {
  Traffic t{.calls = 1};
  const int right = (rank + 1) % size;
  switch (call.operation) {
    case Operation::kAllReduce: {
      const int64_t element = ElementSize(call.in.dtype);
      ForEachPiece(call.in.count, element, options.segment_bytes, [&](Range segment) {
        const int64_t own = ChunkOf(segment.size(), size, rank).size();
        t.sent += (segment.size() - own) * element;
        t.received += (size - 1) * own * element;
        t.sent += (segment.size() - ChunkOf(segment.size(), size, right).size()) * element;
        t.received += (segment.size() - own) * element;
      });
      break;
    }
    case Operation::kReduceScatter: {
      const int64_t own = ChunkOf(call.in.count, size, rank).size();
      t.sent = (call.in.count - own) * ElementSize(call.in.dtype);
      t.received = (size - 1) * own * ElementSize(call.in.dtype);
      break;
    }
    case Operation::kAllGather:
      t.sent = (call.out.count - call.counts[right]) * ElementSize(call.out.dtype);
      t.received = (call.out.count - call.counts[rank]) * ElementSize(call.out.dtype);
      break;
    case Operation::kBroadcast:
      (rank == call.root ? t.sent : t.received) = size > 1 ? call.out.bytes() : 0;
      break;
    case Operation::kBarrier:
    case Operation::kSplit:
      break;
  }
  return t;
}

namespace {

constexpr int64_t kSegment = 1448;     // of a frame of 1,514 bytes, with TCP's timestamps
constexpr int64_t kFrameHeaders = 66;  // Ethernet 14, IPv4 20, TCP 32
constexpr int64_t kMessageHeader = 48;
constexpr int64_t kFramesPerAcknowledgement = 4;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Frames of `messages` of one size that hold `bytes` in all.
int64_t Frames(int64_t bytes, int64_t messages) {
  return messages * CeilDiv(CeilDiv(bytes, messages) + kMessageHeader, kSegment);
}

int64_t MessagesOf(Operation operation, int size) {
  switch (operation) {
    case Operation::kAllReduce:
      return int64_t{2} * (size - 1);
    case Operation::kReduceScatter:
    case Operation::kAllGather:
      return size - 1;
    case Operation::kBroadcast:
      return 1;
    case Operation::kBarrier:
    case Operation::kSplit:
      break;
  }
  return 0;
}

}  // namespace

int64_t EthernetBytes(int64_t sent, int64_t received, int64_t messages) {
  if (messages == 0) return 0;
  return sent + messages * kMessageHeader + kFrameHeaders * Frames(sent, messages) +
         kFrameHeaders * Frames(received, messages) / kFramesPerAcknowledgement;
}

int64_t EthernetBytes(const Communicator& communicator) {
  int64_t bytes = 0;
  for (int i = 0; i < kOperations; ++i) {
    const auto operation = static_cast<Operation>(i);
    const Traffic t = communicator.traffic(operation);
    if (t.sent == 0 && t.received == 0) continue;
    bytes +=
        EthernetBytes(t.sent, t.received, t.calls * MessagesOf(operation, communicator.size()));
  }
  return bytes;
}

}  // namespace orchard::comm
