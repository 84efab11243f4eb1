// One thread simulates one candidate plan, a warp one block of 32 that share their order.
//
// The order, the edges and their costs are the same for a whole warp, so their loads are broadcasts
// that stay in the first-level cache; devices and end times lie [op][candidate], so a warp reads 32
// bytes and 128 bytes in one piece. When each device is free next is kept in shared memory, a
// column for every thread. A candidate moves about 5 bytes for each edge and 10 for each operator,
// most of them in L2 because producers are close to their readers in the order; what bounds the
// kernel is the chain of operators, each of which waits for the loads of its inputs' end times. So
// what does not depend on these, the next operator's index, edge range, device and work, is loaded
// one operator ahead.
//
// With exclusive links a thread goes from event to event of its candidate
// (place/batch_links_element.h), in another order than its neighbours: what it reads of the graph
// is scattered, and a warp takes as long as its longest lane. State lies [element][candidate] all
// the same.
//
// The memory of the devices is a second kernel, only where limits can bind: it goes through the
// order backwards, with a word of reader bits for each tensor and candidate.
#include <cuda_runtime.h>

#include "cuda/place/batch_simulate.h"
#include "place/batch_element.h"
#include "place/batch_links_element.h"

namespace orchard::cuda {
namespace {

using place::BatchArgs;
using place::BatchLinks;
using place::BatchMemory;
using place::kBatchLanes;

constexpr int kThreads = 64;
static_assert(kThreads % kBatchLanes == 0);

__device__ __forceinline__ int64_t Candidate() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

template <class T>
__global__ void __launch_bounds__(kThreads) MakespanKernel(BatchArgs a) {
  extern __shared__ int64_t shared[];
  T* available = reinterpret_cast<T*>(shared) + threadIdx.x;  // [devices][kThreads]
  const int64_t block = Candidate() / kBatchLanes;
  if (block >= a.blocks) return;
  const int lane = threadIdx.x % kBatchLanes;
  const T* work = static_cast<const T*>(a.work);
  const T* cost = static_cast<const T*>(a.cost);
  const int32_t* order = a.order + block * a.ops;
  const int64_t column = block * a.ops * kBatchLanes + lane;
  const uint8_t* device = a.device + column;
  T* end = static_cast<T*>(a.end) + column;
  for (int32_t d = 0; d < a.devices; ++d) available[d * kThreads] = 0;
  T last = 0;
  int32_t i = order[0];
  int32_t first = a.in_begin[i], behind = a.in_begin[i + 1];
  int32_t to = device[static_cast<int64_t>(i) * kBatchLanes];
  T time = work[static_cast<int64_t>(i) * a.work_devices + (a.work_devices == 1 ? 0 : to)];
  for (int32_t position = 0; position < a.ops; ++position) {
    const int32_t next = order[min(position + 1, a.ops - 1)];
    const int32_t next_first = a.in_begin[next], next_behind = a.in_begin[next + 1];
    const int32_t next_to = device[static_cast<int64_t>(next) * kBatchLanes];
    const T next_time =
        work[static_cast<int64_t>(next) * a.work_devices + (a.work_devices == 1 ? 0 : next_to)];
    T ready = available[to * kThreads];
#pragma unroll 4
    for (int32_t e = first; e < behind; ++e) {
      const int64_t h = static_cast<int64_t>(a.producer[e]) * kBatchLanes;
      const int32_t from = device[h];
      const T c =
          cost[static_cast<int64_t>(e) * a.links + place::LinkIndex(a.links, a.devices, from, to)];
      ready = place::Later(ready, place::ReadableAt(end[h], c, from, to));
    }
    const T done = ready + time;
    available[to * kThreads] = done;
    end[static_cast<int64_t>(i) * kBatchLanes] = done;
    last = place::Later(last, done);
    i = next, first = next_first, behind = next_behind, to = next_to, time = next_time;
  }
  a.makespan[block * kBatchLanes + lane] = last;
}

template <class T>
__global__ void __launch_bounds__(kThreads) LinksKernel(BatchArgs a, BatchLinks l) {
  const int64_t block = Candidate() / kBatchLanes;
  if (block >= a.blocks) return;
  const int lane = threadIdx.x % kBatchLanes;
  const auto column = [&](int32_t size) { return block * size * kBatchLanes + lane; };
  a.makespan[block * kBatchLanes + lane] =
      place::LinkSimulation<T>(
          a, l,
          {a.order + block * a.ops, a.device + column(a.ops), l.missing + column(a.ops),
           l.waiting + column(l.uses), l.sent + column(l.tensors)})
          .Run();
}

__global__ void __launch_bounds__(kThreads, 8) MemoryKernel(BatchArgs a, BatchMemory m) {
  extern __shared__ int64_t shared[];
  auto* held = reinterpret_cast<place::BackwardMemory*>(shared) + threadIdx.x;
  const int64_t block = Candidate() / kBatchLanes;
  if (block >= a.blocks) return;
  const int lane = threadIdx.x % kBatchLanes;
  const int32_t* order = a.order + block * a.ops;
  const uint8_t* device = a.device + block * a.ops * kBatchLanes + lane;
  uint32_t* readers = m.readers + block * m.tensors * kBatchLanes + lane;
  for (int32_t d = 0; d < a.devices; ++d) held[d * kThreads] = {0, 0};
  // Parameters are there all the time: in the level and in the peak.
  for (int32_t i = 0; i < a.ops; ++i)
    held[device[static_cast<int64_t>(i) * kBatchLanes] * kThreads].Need(m.kept[i] + m.perm[i],
                                                                        true);
  for (int32_t t = 0; t < m.tensors; ++t) readers[static_cast<int64_t>(t) * kBatchLanes] = 0;
  for (int32_t position = a.ops - 1; position >= 0; --position) {
    const int32_t i = order[position];
    const int32_t to = device[static_cast<int64_t>(i) * kBatchLanes];
    const uint32_t here = 1u << to;
    place::BackwardMemory mine = held[to * kThreads];
    for (int32_t e = a.in_begin[i]; e < a.in_begin[i + 1]; ++e) {
      const bool local = device[static_cast<int64_t>(a.producer[e]) * kBatchLanes] == to;
      for (int32_t u = m.use_begin[e]; u < m.use_begin[e + 1]; ++u) {
        const int32_t t = m.used[u];
        uint32_t& seen = readers[static_cast<int64_t>(t) * kBatchLanes];
        const int64_t bytes = (seen & here) != 0 ? 0 : local ? m.bytes[t] : m.copy[t];
        mine.Need(bytes, m.saved[t] != 0 && !local);
        seen |= here;
      }
    }
    int64_t running = m.fleeting[i];
    for (int32_t t = m.tensor_begin[i]; t < m.tensor_begin[i + 1]; ++t) {
      if ((readers[static_cast<int64_t>(t) * kBatchLanes] & here) == 0) running += m.bytes[t];
    }
    mine.Run(running);
    mine.Begin(m.kept[i]);
    held[to * kThreads] = mine;
    for (int32_t t = m.tensor_begin[i]; t < m.tensor_begin[i + 1]; ++t) {
      const uint32_t seen = readers[static_cast<int64_t>(t) * kBatchLanes];
      for (int32_t d = 0; d < a.devices; ++d) {
        if ((seen >> d & 1u) != 0) held[d * kThreads].Begin(d == to ? m.bytes[t] : m.copy[t]);
      }
    }
  }
  int64_t excess = 0;
  for (int32_t d = 0; d < a.devices; ++d)
    excess += place::Over(held[d * kThreads].peak, m.limit[d]);
  m.excess[block * kBatchLanes + lane] = excess;
}

}  // namespace

void BatchSimulate(const BatchArgs& a, cudaStream_t stream) {
  constexpr char kName[] = "BatchSimulate";
  CheckArgument(a.ops > 0 && a.blocks > 0, kName, "plans", "there are none");
  CheckArgument(a.devices > 0 && a.devices <= place::kMaxBatchDevices, kName, "plans",
                "there are too many devices");
  CheckArgument(
      a.order != nullptr && a.device != nullptr && a.end != nullptr && a.makespan != nullptr, kName,
      "plans", "a pointer is null");
  const auto grid = static_cast<unsigned>((a.blocks * kBatchLanes + kThreads - 1) / kThreads);
  const size_t columns = static_cast<size_t>(a.devices) * kThreads;
  if (a.shared != nullptr) {
    const BatchLinks& l = *a.shared;
    CheckArgument(
        l.missing != nullptr && l.sent != nullptr && (l.uses == 0 || l.waiting != nullptr), kName,
        "links", "a pointer is null");
    if (a.wide) {
      LinksKernel<int64_t><<<grid, kThreads, 0, stream>>>(a, l);
    } else {
      LinksKernel<int32_t><<<grid, kThreads, 0, stream>>>(a, l);
    }
  } else if (a.wide) {
    MakespanKernel<int64_t><<<grid, kThreads, columns * sizeof(int64_t), stream>>>(a);
  } else {
    MakespanKernel<int32_t><<<grid, kThreads, columns * sizeof(int32_t), stream>>>(a);
  }
  CheckLaunch(kName, "plans");
  if (a.memory == nullptr) return;
  CheckArgument(a.memory->readers != nullptr && a.memory->excess != nullptr, kName, "memory",
                "a pointer is null");
  MemoryKernel<<<grid, kThreads, columns * sizeof(place::BackwardMemory), stream>>>(a, *a.memory);
  CheckLaunch(kName, "memory");
}

}  // namespace orchard::cuda
