#include "comm/communicator.h"

#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"
#include "comm/reduce.h"

namespace orchard::comm {
namespace {

void Require(bool ok, Operation operation, const char* rule) {
  if (!ok) throw Error(ExitCode::kInternal, std::string(rule), std::string(Name(operation)));
}

Collective AllReduceCall(Buffer buffer) {
  Require(IsSumType(buffer.dtype, buffer.dtype), Operation::kAllReduce,
          "raw bytes cannot be summed");
  return {.operation = Operation::kAllReduce, .in = buffer, .out = buffer};
}

Collective ReduceScatterCall(ConstBuffer in, Buffer out, int size, int rank) {
  constexpr Operation kOp = Operation::kReduceScatter;
  Require(IsSumType(in.dtype, out.dtype), kOp,
          "a sum keeps its element type, or widens a short one to F32");
  Require(out.count == ChunkOf(in.count, size, rank).size(), kOp,
          "the output has the size of this rank's chunk");
  return {.operation = kOp, .in = in, .out = out};
}

Collective AllGatherCall(ConstBuffer in, Buffer out, std::span<const int64_t> counts, int size,
                         int rank) {
  constexpr Operation kOp = Operation::kAllGather;
  Collective call{.operation = kOp, .in = in, .out = out};
  if (counts.empty()) {
    for (int r = 0; r < size; ++r) call.counts.push_back(ChunkOf(out.count, size, r).size());
  } else {
    call.counts.assign(counts.begin(), counts.end());
  }
  Require(static_cast<int>(call.counts.size()) == size, kOp, "there is one count per rank");
  Require(in.dtype == out.dtype, kOp, "input and output have the same element type");
  Require(in.count == call.counts[rank], kOp, "the input has this rank's count");
  Require(std::accumulate(call.counts.begin(), call.counts.end(), int64_t{0}) == out.count, kOp,
          "the counts add up to the output's size");
  return call;
}

Collective BroadcastCall(Buffer buffer, int root, int size) {
  Require(root >= 0 && root < size, Operation::kBroadcast, "the root is one of the ranks");
  return {.operation = Operation::kBroadcast, .in = buffer, .out = buffer, .root = root};
}

class OneProcessCommunicator : public Communicator {
 public:
  OneProcessCommunicator() : Communicator(0, 1) {}
  std::string_view engine() const override { return "one process"; }
  std::unique_ptr<Communicator> Split(int) override {
    Count(Operation::kSplit, 0, 0);
    return OneProcess();
  }

 protected:
  Handle Start(Collective call) override {
    const std::byte* part = call.in.data;
    if (call.operation == Operation::kReduceScatter) {
      SumInRankOrder(call.in.dtype, {&part, 1}, call.out);
    } else if (call.out.data != call.in.data && call.out.count > 0) {
      std::memmove(call.out.data, call.in.data, call.out.bytes());
    }
    Count(call.operation, 0, 0);
    return {};
  }
};

}  // namespace

std::string_view Name(Operation operation) {
  constexpr std::string_view kNames[kOperations] = {"all-reduce", "reduce-scatter", "all-gather",
                                                    "broadcast",  "barrier",        "split"};
  return kNames[static_cast<int>(operation)];
}

Handle& Handle::operator=(Handle&& other) noexcept {
  Handle old(std::exchange(wait_, nullptr));
  wait_ = std::exchange(other.wait_, nullptr);
  return *this;
}

Handle::~Handle() {
  try {
    Wait();
  } catch (...) {
  }
}

void Handle::Wait() {
  if (auto wait = std::exchange(wait_, nullptr)) wait();
}

void Communicator::AllReduce(Buffer buffer) { Run(AllReduceCall(buffer)); }
Handle Communicator::AllReduceAsync(Buffer buffer) { return Start(AllReduceCall(buffer)); }

void Communicator::ReduceScatter(ConstBuffer in, Buffer out) {
  Run(ReduceScatterCall(in, out, size_, rank_));
}
Handle Communicator::ReduceScatterAsync(ConstBuffer in, Buffer out) {
  return Start(ReduceScatterCall(in, out, size_, rank_));
}

void Communicator::AllGather(ConstBuffer in, Buffer out, std::span<const int64_t> counts) {
  Run(AllGatherCall(in, out, counts, size_, rank_));
}
Handle Communicator::AllGatherAsync(ConstBuffer in, Buffer out, std::span<const int64_t> counts) {
  return Start(AllGatherCall(in, out, counts, size_, rank_));
}

void Communicator::Broadcast(Buffer buffer, int root) { Run(BroadcastCall(buffer, root, size_)); }
Handle Communicator::BroadcastAsync(Buffer buffer, int root) {
  return Start(BroadcastCall(buffer, root, size_));
}

void Communicator::Barrier() { Run({.operation = Operation::kBarrier}); }

Traffic Communicator::traffic(Operation operation) const {
  std::lock_guard lock(mutex_);
  return traffic_[static_cast<int>(operation)];
}

Traffic Communicator::traffic() const {
  std::lock_guard lock(mutex_);
  Traffic total;
  for (const Traffic& t : traffic_) {
    total.calls += t.calls;
    total.sent += t.sent;
    total.received += t.received;
  }
  return total;
}

void Communicator::Count(Operation operation, int64_t sent, int64_t received) {
  std::lock_guard lock(mutex_);
  Traffic& t = traffic_[static_cast<int>(operation)];
  ++t.calls;
  t.sent += sent;
  t.received += received;
}

std::unique_ptr<Communicator> OneProcess() { return std::make_unique<OneProcessCommunicator>(); }

void HierarchicalAllReduce(Communicator& inner, Communicator& outer, Buffer buffer) {
  const int64_t size = ElementSize(buffer.dtype);
  const Range own = ChunkOf(buffer.count, inner.size(), inner.rank());
  const Buffer chunk(buffer.data + own.begin * size, own.size(), buffer.dtype);
  inner.ReduceScatter(buffer, chunk);
  outer.AllReduce(chunk);
  inner.AllGather(chunk, buffer);
}

}  // namespace orchard::comm
