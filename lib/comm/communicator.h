// Communicators: the ranks of a job and the collectives between them.
//
// One interface, four engines: one process, simulated ranks (simulated.h), MPI (mpi.h), NCCL
// (nccl_communicator.h). A training loop is written once against `Communicator&` and started with
// `RunRanks` (launch.h). Every rank must call the same collectives in the same order.
//
// The CPU engines use the *ordered all-reduce*: every rank sends chunk j of its buffer to rank j
// (all-to-all), rank j adds what it got in rank order, and the sums are gathered (all-gather). That
// is 2 (n-1)/n of the buffer sent by each rank, as in a ring, but the order of additions depends on
// nothing except the ranks, so every rank, every run and the simulation get the same bits.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "comm/buffer.h"

namespace orchard::comm {

enum class Operation { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kBarrier, kSplit };
inline constexpr int kOperations = 6;
std::string_view Name(Operation operation);  // "all-reduce"

// Payload bytes that this rank handed to its engine for other ranks, and got from them; headers of
// the wire are not in it. A broadcast counts once at the root (sent) and once at every other rank
// (received), whatever tree the engine uses. Simulated ranks count what MPI would have moved.
struct Traffic {
  int64_t calls = 0, sent = 0, received = 0;
  bool operator==(const Traffic&) const = default;
};

struct EngineOptions {
  // Buffers larger than this travel in pieces. It bounds scratch memory and keeps every count far
  // below INT_MAX, which is where MPI's interface ends.
  int64_t segment_bytes = int64_t{64} << 20;
};

// A collective in flight. Until `Wait` returns, its buffers must stay alive, inputs unchanged and
// outputs unread.
class Handle {
 public:
  Handle() = default;  // of a collective that is already done
  explicit Handle(std::function<void()> wait) : wait_(std::move(wait)) {}
  Handle(Handle&& other) noexcept : wait_(std::exchange(other.wait_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();  // waits; an error is dropped here, since the next collective reports it too

  // Returns when the collective is done. Throws PeerError when another rank failed. Later calls do
  // nothing.
  void Wait();

 private:
  std::function<void()> wait_;
};

// One call of one rank, as engines see it.
struct Collective {
  Operation operation = Operation::kBarrier;
  ConstBuffer in;               // what this rank gives
  Buffer out;                   // what it gets
  int root = 0;                 // of a broadcast
  int color = 0;                // of a split
  std::vector<int64_t> counts;  // all-gather: elements per rank
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }  // in [0, size)
  int size() const { return size_; }
  virtual std::string_view engine() const = 0;  // "one process" | "simulation" | "MPI" | "NCCL"

  // Every method throws PeerError when another rank has failed, and Error for buffers that break
  // the rules below.

  // buffer = sum over ranks of buffer, element by element, in rank order (SumInRankOrder).
  void AllReduce(Buffer buffer);
  Handle AllReduceAsync(Buffer buffer);

  // out = chunk `ChunkOf(in.count, size, rank)` of the sum of all `in`. `out` has the type of `in`,
  // or F32 where `in` is BF16, F16 or I8; it may be this rank's own chunk of `in`, and overlaps
  // nothing else.
  void ReduceScatter(ConstBuffer in, Buffer out);
  Handle ReduceScatterAsync(ConstBuffer in, Buffer out);

  // out = the `in` of rank 0, of rank 1, ... `counts` says how many elements each rank gives;
  // without it they are the chunks of `ChunkOf(out.count, size, r)`. `in` may be this rank's own
  // part of `out`, and overlaps nothing else.
  void AllGather(ConstBuffer in, Buffer out, std::span<const int64_t> counts = {});
  Handle AllGatherAsync(ConstBuffer in, Buffer out, std::span<const int64_t> counts = {});

  // buffer = the buffer of rank `root`.
  void Broadcast(Buffer buffer, int root = 0);
  Handle BroadcastAsync(Buffer buffer, int root = 0);

  // Returns once every rank has called it.
  void Barrier();

  // A communicator of the ranks that gave the same `color`, in the order of their ranks here. It
  // has counters of its own.
  virtual std::unique_ptr<Communicator> Split(int color) = 0;

  Traffic traffic(Operation operation) const;
  Traffic traffic() const;  // of all operations

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}
  // Starts a checked collective; called in the same order on every rank.
  virtual Handle Start(Collective call) = 0;
  // The same, and waits. Engines that need no second thread for this say so here.
  virtual void Run(Collective call) { Start(std::move(call)).Wait(); }
  void Count(Operation operation, int64_t sent, int64_t received);  // thread-safe; counts one call

 private:
  int rank_, size_;
  mutable std::mutex mutex_;
  std::array<Traffic, kOperations> traffic_{};
};

// The communicator of a job with one rank.
std::unique_ptr<Communicator> OneProcess();

// Sum over the ranks of every node, then over the nodes: within `inner` (the ranks of a node) a
// reduce-scatter, across `outer` (the ranks with the same place in their node) an all-reduce of one
// chunk, within `inner` an all-gather. Each link between nodes carries 1/inner.size() of the
// buffer. The order of additions is by node, so the bits differ from the flat sum, but are as
// reproducible.
void HierarchicalAllReduce(Communicator& inner, Communicator& outer, Buffer buffer);

}  // namespace orchard::comm
