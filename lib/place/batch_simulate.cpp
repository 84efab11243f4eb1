#include "place/batch_simulate.h"

#include <algorithm>
#include <vector>

#include "base/simd.h"
#include "place/batch_element.h"
#include "place/batch_links_element.h"

namespace orchard::place {
namespace {

constexpr int kLanes = kBatchLanes;
constexpr int32_t kFewDevices = 8;  // up to here, looking at every device beats indexing by lane

template <class T>
struct Scratch {
  std::vector<T> end;
  std::vector<uint32_t> readers;
  std::vector<int32_t> missing, waiting;
  std::vector<uint32_t> sent;
};

template <class T>
ORCHARD_HD void Ready(const BatchArgs& a, const T* cost, int32_t edge, const T* end,
                      const uint8_t* from, const int32_t* to, T* ready) {
  if (a.links == 1) {
    const T c = cost[edge];
    for (int k = 0; k < kLanes; ++k)
      ready[k] = Later(ready[k], ReadableAt(end[k], c, int32_t{from[k]}, to[k]));
    return;
  }
  const T* of_edge = cost + static_cast<int64_t>(edge) * a.links;
  for (int k = 0; k < kLanes; ++k) {
    const T c = of_edge[LinkIndex(a.links, a.devices, from[k], to[k])];
    ready[k] = Later(ready[k], ReadableAt(end[k], c, int32_t{from[k]}, to[k]));
  }
}

template <class T>
ORCHARD_SIMD void RunBlock(const BatchArgs& a, const int32_t* order, const uint8_t* device, T* end,
                           int64_t* makespan) {
  const T* work = static_cast<const T*>(a.work);
  const T* cost = static_cast<const T*>(a.cost);
  T available[kMaxBatchDevices][kLanes], last[kLanes];
  for (int32_t d = 0; d < a.devices; ++d) std::fill_n(available[d], kLanes, T{0});
  std::fill_n(last, kLanes, T{0});
  for (int32_t position = 0; position < a.ops; ++position) {
    const int32_t i = order[position];
    int32_t to[kLanes];
    T ready[kLanes], time[kLanes];
    for (int k = 0; k < kLanes; ++k) to[k] = device[static_cast<int64_t>(i) * kLanes + k];
    for (int k = 0; k < kLanes; ++k) ready[k] = 0;
    for (int32_t e = a.in_begin[i]; e < a.in_begin[i + 1]; ++e) {
      const int64_t h = static_cast<int64_t>(a.producer[e]) * kLanes;
      Ready(a, cost, e, end + h, device + h, to, ready);
    }
    if (a.work_devices == 1) {
      for (int k = 0; k < kLanes; ++k) time[k] = work[i];
    } else {
      for (int k = 0; k < kLanes; ++k)
        time[k] = work[static_cast<int64_t>(i) * a.work_devices + to[k]];
    }
    T* done = end + static_cast<int64_t>(i) * kLanes;
    if (a.devices <= kFewDevices) {
      for (int32_t d = 0; d < a.devices; ++d) {
        for (int k = 0; k < kLanes; ++k)
          ready[k] = to[k] == d ? Later(ready[k], available[d][k]) : ready[k];
      }
      for (int k = 0; k < kLanes; ++k) done[k] = ready[k] + time[k];
      for (int32_t d = 0; d < a.devices; ++d) {
        for (int k = 0; k < kLanes; ++k) available[d][k] = to[k] == d ? done[k] : available[d][k];
      }
    } else {
      for (int k = 0; k < kLanes; ++k) {
        done[k] = Later(ready[k], available[to[k]][k]) + time[k];
        available[to[k]][k] = done[k];
      }
    }
    for (int k = 0; k < kLanes; ++k) last[k] = Later(last[k], done[k]);
  }
  for (int k = 0; k < kLanes; ++k) makespan[k] = last[k];
}

// Events come in another order in every lane: one after the other.
template <class T>
void RunBlockWithLinks(const BatchArgs& a, const int32_t* order, const uint8_t* device,
                       Scratch<T>& scratch, int64_t* makespan) {
  const BatchLinks& links = *a.shared;
  scratch.missing.resize(static_cast<size_t>(a.ops) * kLanes);
  scratch.waiting.resize(static_cast<size_t>(links.uses) * kLanes);
  scratch.sent.resize(static_cast<size_t>(links.tensors) * kLanes);
  for (int k = 0; k < kLanes; ++k) {
    makespan[k] = LinkSimulation<T>(a, links,
                                    {order, device + k, scratch.missing.data() + k,
                                     scratch.waiting.data() + k, scratch.sent.data() + k})
                      .Run();
  }
}

void MemoryOfBlock(const BatchArgs& a, const int32_t* order, const uint8_t* device,
                   uint32_t* readers, int64_t* excess) {
  const BatchMemory& m = *a.memory;
  BackwardMemory held[kMaxBatchDevices][kLanes];
  int64_t perm[kMaxBatchDevices][kLanes];
  for (int32_t d = 0; d < a.devices; ++d) {
    for (int k = 0; k < kLanes; ++k) held[d][k] = {0, 0}, perm[d][k] = 0;
  }
  for (int32_t i = 0; i < a.ops; ++i) {
    const uint8_t* to = device + static_cast<int64_t>(i) * kLanes;
    for (int k = 0; k < kLanes; ++k) {
      perm[to[k]][k] += m.perm[i];
      held[to[k]][k].Need(m.kept[i], true);
    }
  }
  std::fill_n(readers, static_cast<int64_t>(m.tensors) * kLanes, 0u);
  for (int32_t position = a.ops - 1; position >= 0; --position) {
    const int32_t i = order[position];
    const uint8_t* to = device + static_cast<int64_t>(i) * kLanes;
    int64_t running[kLanes];
    for (int k = 0; k < kLanes; ++k) running[k] = m.fleeting[i];
    for (int32_t e = a.in_begin[i]; e < a.in_begin[i + 1]; ++e) {
      const uint8_t* from = device + static_cast<int64_t>(a.producer[e]) * kLanes;
      for (int32_t u = m.use_begin[e]; u < m.use_begin[e + 1]; ++u) {
        const int32_t t = m.used[u];
        uint32_t* seen = readers + static_cast<int64_t>(t) * kLanes;
        for (int k = 0; k < kLanes; ++k) {
          const uint32_t here = 1u << to[k];
          const bool local = from[k] == to[k];
          const int64_t bytes = (seen[k] & here) != 0 ? 0 : local ? m.bytes[t] : m.copy[t];
          held[to[k]][k].Need(bytes, m.saved[t] != 0 && !local);
          seen[k] |= here;
        }
      }
    }
    for (int32_t t = m.tensor_begin[i]; t < m.tensor_begin[i + 1]; ++t) {
      const uint32_t* seen = readers + static_cast<int64_t>(t) * kLanes;
      for (int k = 0; k < kLanes; ++k) running[k] += (seen[k] & 1u << to[k]) != 0 ? 0 : m.bytes[t];
    }
    for (int k = 0; k < kLanes; ++k) held[to[k]][k].Run(running[k]);
    for (int32_t t = m.tensor_begin[i]; t < m.tensor_begin[i + 1]; ++t) {
      const uint32_t* seen = readers + static_cast<int64_t>(t) * kLanes;
      for (int32_t d = 0; d < a.devices; ++d) {
        for (int k = 0; k < kLanes; ++k) {
          const int64_t bytes = to[k] == d ? m.bytes[t] : m.copy[t];
          held[d][k].Begin((seen[k] >> d & 1u) != 0 ? bytes : 0);
        }
      }
    }
    for (int k = 0; k < kLanes; ++k) held[to[k]][k].Begin(m.kept[i]);
  }
  for (int k = 0; k < kLanes; ++k) {
    excess[k] = 0;
    for (int32_t d = 0; d < a.devices; ++d)
      excess[k] += Over(held[d][k].peak + perm[d][k], m.limit[d]);
  }
}

template <class T>
void Run(const BatchArgs& a, ThreadPool& pool) {
  pool.ForEach(a.blocks, [&](int64_t block) {
    thread_local Scratch<T> scratch;
    scratch.end.resize(static_cast<size_t>(a.ops) * kLanes);
    const int32_t* order = a.order + block * a.ops;
    const uint8_t* device = a.device + block * a.ops * kLanes;
    if (a.shared) {
      RunBlockWithLinks<T>(a, order, device, scratch, a.makespan + block * kLanes);
    } else {
      RunBlock<T>(a, order, device, scratch.end.data(), a.makespan + block * kLanes);
    }
    if (!a.memory) return;
    scratch.readers.resize(static_cast<size_t>(a.memory->tensors) * kLanes);
    MemoryOfBlock(a, order, device, scratch.readers.data(), a.memory->excess + block * kLanes);
  });
}

}  // namespace

void BatchSimulate(const BatchArgs& args, ThreadPool& pool) {
  if (args.wide) {
    Run<int64_t>(args, pool);
  } else {
    Run<int32_t>(args, pool);
  }
}

}  // namespace orchard::place
