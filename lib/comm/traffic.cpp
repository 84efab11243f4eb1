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

}  // namespace orchard::comm
