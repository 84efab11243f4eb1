// The link between ranks as its all-reduces show it: what a message costs whatever its size, and
// how many bytes pass per second.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace orchard::sync {

// An all-reduce of `bytes` among n ranks takes 2 (n-1) latency + 2 (n-1)/n bytes / bandwidth.
struct LinkModel {
  double latency = 0;    // seconds
  double bandwidth = 0;  // bytes per second of a rank, each way
};

struct AllReduceTime {
  double bytes = 0, seconds = 0;
};

// The model that fits the times best, relative to each. At least two different sizes; ranks >= 2.
LinkModel FitLink(std::span<const AllReduceTime> times, int ranks);

// Times all-reduces of f32 buffers from 1 KiB on, each size four times the last, until one takes
// `longest` seconds or has 16 MiB: the median of some runs of the slowest rank. A collective call;
// the same on all ranks.
std::vector<AllReduceTime> TimeAllReduces(comm::Communicator& ranks, double longest = 0.5);

}  // namespace orchard::sync
