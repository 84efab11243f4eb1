// Cuts collectives into pieces and counts their bytes; shared by the MPI engine, which moves them,
// and the simulation.
#pragma once

#include <algorithm>
#include <cstdint>

#include "comm/communicator.h"

namespace orchard::comm {

// Calls f([begin, end)) for consecutive pieces of `count` elements, each at most `segment_bytes`
// but at least one element.
template <class F>
void ForEachSegment(int64_t count, int64_t element_size, int64_t segment_bytes, F&& f) {
  const int64_t step = std::max<int64_t>(1, segment_bytes / element_size);
  for (int64_t begin = 0; begin < count; begin += step) {
    f(Range{begin, std::min(count, begin + step)});
  }
}

// The same for the pieces of an all-reduce: about four, so that a link carries the sums of one
// while it collects the next, but none so small that its latency counts.
template <class F>
void ForEachPiece(int64_t count, int64_t element_size, int64_t segment_bytes, F&& f) {
  constexpr int64_t kPieces = 4, kSmallest = int64_t{256} << 10;
  const int64_t quarter = (count + kPieces - 1) / kPieces * element_size;
  ForEachSegment(count, element_size, std::min(segment_bytes, std::max(quarter, kSmallest)),
                 std::forward<F>(f));
}

// What `rank` of `size` sends and receives for `call` (calls = 1): the all-gather as a ring sends
// everything but the right neighbour's own part, and receives everything but its own.
Traffic TrafficOf(const Collective& call, int size, int rank, const EngineOptions& options);

// About what Ethernet carries of what `communicator`'s rank has sent so far, as interfaces count
// it: payload, a header of Open MPI per message, headers of Ethernet, IPv4 and TCP per frame of
// 1,448 bytes, and acknowledgements of what it received. Those were seen to come once for four
// frames: the kernel hands TCP several at once, and some travel with data. An all-reduce is 2 (n-1)
// messages of each rank, other collectives n-1, a broadcast one.
int64_t EthernetBytes(const Communicator& communicator);

// The same of `messages` that were sent with `sent` bytes in all, while as many brought `received`.
int64_t EthernetBytes(int64_t sent, int64_t received, int64_t messages);

}  // namespace orchard::comm
