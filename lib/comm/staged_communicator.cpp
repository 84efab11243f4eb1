#include "comm/staged_communicator.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/traffic.h"

namespace orchard::comm {
namespace {

// Messages of one step are as large as those of the next: their memory, which is slow to get, is
// kept.
class StagePool {
 public:
  explicit StagePool(std::shared_ptr<HostStage> stage) : stage_(std::move(stage)) {}
  ~StagePool() {
    for (const Block& b : free_) stage_->Free(b.data);
  }
  StagePool(const StagePool&) = delete;
  StagePool& operator=(const StagePool&) = delete;

  struct Block {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  Block Take(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    auto best = free_.end();
    for (auto at = free_.begin(); at != free_.end(); ++at) {
      if (at->bytes >= bytes && (best == free_.end() || at->bytes < best->bytes)) best = at;
    }
    if (best == free_.end()) {
      const int64_t size = std::max<int64_t>(bytes, 1);
      return {stage_->Allocate(size), size};
    }
    const Block found = *best;
    free_.erase(best);
    return found;
  }
  void Give(Block block) {
    const std::lock_guard lock(mutex_);
    free_.push_back(block);
  }
  HostStage& stage() { return *stage_; }

 private:
  std::shared_ptr<HostStage> stage_;
  std::mutex mutex_;
  std::vector<Block> free_;
};

// Host memory of one buffer of a collective, given back at the end.
class StagedBuffer {
 public:
  StagedBuffer(StagePool& pool, int64_t bytes) : pool_(pool), block_(pool.Take(bytes)) {}
  ~StagedBuffer() { pool_.Give(block_); }
  StagedBuffer(const StagedBuffer&) = delete;
  StagedBuffer& operator=(const StagedBuffer&) = delete;
  void* data() const { return block_.data; }

 private:
  StagePool& pool_;
  StagePool::Block block_;
};

class StagedCommunicator : public Communicator {
 public:
  StagedCommunicator(Communicator& inner, std::shared_ptr<StagePool> pool,
                     std::unique_ptr<Communicator> owned = nullptr)
      : Communicator(inner.rank(), inner.size()),
        inner_(inner),
        pool_(std::move(pool)),
        owned_(std::move(owned)) {}
  std::string_view engine() const override { return inner_.engine(); }

  std::unique_ptr<Communicator> Split(int color) override {
    Count(Operation::kSplit, 0, 0);
    std::unique_ptr<Communicator> part = inner_.Split(color);
    Communicator& ranks = *part;
    return std::make_unique<StagedCommunicator>(ranks, pool_, std::move(part));
  }

 protected:
  Handle Start(Collective call) override { return Perform(call, true); }
  void Run(Collective call) override { Perform(call, false).Wait(); }

 private:
  // What lives until the end of a collective.
  struct Flight {
    Flight(StagePool& pool, int64_t in_bytes, int64_t out_bytes)
        : in(pool, in_bytes), out(pool, out_bytes) {}
    StagedBuffer in, out;
    Handle inner;
  };

  Handle Perform(const Collective& call, bool async) {
    const Traffic t = TrafficOf(call, size(), rank(), {});
    Count(call.operation, t.sent, t.received);
    if (call.operation == Operation::kBarrier) {
      inner_.Barrier();
      return {};
    }
    // In place where the engine works in place: then `in` holds the whole message.
    const bool in_place =
        call.operation == Operation::kAllReduce || call.operation == Operation::kBroadcast;
    auto flight =
        std::make_shared<Flight>(*pool_, call.in.bytes(), in_place ? 0 : call.out.bytes());
    const bool gives = call.operation != Operation::kBroadcast || call.root == rank();
    if (gives && call.in.count > 0) {
      pool_->stage().ToHost(flight->in.data(), call.in.data, call.in.bytes());
    }
    flight->inner = Hand(call, *flight, async);
    const bool gets = call.operation != Operation::kBroadcast || call.root != rank();
    return Handle([pool = pool_, flight, call, gets, in_place] {
      flight->inner.Wait();
      const void* const host = in_place ? flight->in.data() : flight->out.data();
      if (gets && call.out.count > 0) pool->stage().ToDevice(call.out.data, host, call.out.bytes());
    });
  }

  // Starts the collective of the engine on what is staged.
  Handle Hand(const Collective& call, const Flight& flight, bool async) {
    const ConstBuffer in(flight.in.data(), call.in.count, call.in.dtype);
    const Buffer whole(flight.in.data(), call.in.count, call.in.dtype);
    const Buffer out(flight.out.data(), call.out.count, call.out.dtype);
    switch (call.operation) {
      case Operation::kAllReduce:
        if (async) return inner_.AllReduceAsync(whole);
        inner_.AllReduce(whole);
        break;
      case Operation::kReduceScatter:
        if (async) return inner_.ReduceScatterAsync(in, out);
        inner_.ReduceScatter(in, out);
        break;
      case Operation::kAllGather:
        if (async) return inner_.AllGatherAsync(in, out, call.counts);
        inner_.AllGather(in, out, call.counts);
        break;
      case Operation::kBroadcast:
        if (async) return inner_.BroadcastAsync(whole, call.root);
        inner_.Broadcast(whole, call.root);
        break;
      case Operation::kBarrier:
      case Operation::kSplit:
        break;
    }
    return {};
  }

  Communicator& inner_;
  std::shared_ptr<StagePool> pool_;
  std::unique_ptr<Communicator> owned_;
};

}  // namespace

std::unique_ptr<Communicator> StageThroughHost(Communicator& inner,
                                               std::shared_ptr<HostStage> stage) {
  return std::make_unique<StagedCommunicator>(inner, std::make_shared<StagePool>(std::move(stage)));
}

}  // namespace orchard::comm
