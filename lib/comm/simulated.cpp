#include "comm/simulated.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "comm/reduce.h"
#include "comm/traffic.h"

namespace orchard::comm {
namespace {

// The baton. A rank is running (it holds the baton), ready, waiting for a condition, or finished.
class Stage {
 public:
  explicit Stage(int ranks) : wake_(ranks), seats_(ranks) {}

  // Blocks until it is `rank`'s turn for the first time.
  void Enter(int rank) {
    std::unique_lock lock(mutex_);
    wake_[rank].wait(lock, [&] { return turn_ == rank; });
  }

  // Passes the baton on until `done` holds. `done` is only evaluated under the baton. `what` names
  // the collective.
  void WaitFor(int rank, Operation what, const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    if (failure_.empty() && !done()) {
      seats_[rank] = {&done, what, false};
      PassOn(rank);
      wake_[rank].wait(lock, [&] { return turn_ == rank; });
      seats_[rank] = {};
    }
    if (!done()) throw PeerError(failure_);
  }

  // `rank` has returned or thrown. The first failure is what everybody else is told.
  void Leave(int rank, const std::string& failure) {
    std::unique_lock lock(mutex_);
    if (failure_.empty()) failure_ = failure;
    seats_[rank].finished = true;
    PassOn(rank);
  }

  // Throws when a rank has failed; called on the way into a collective.
  void Check() {
    std::lock_guard lock(mutex_);
    if (!failure_.empty()) throw PeerError(failure_);
  }

  // Called when collectives do not match: nobody can go on.
  [[noreturn]] void Fail(const std::string& failure) {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = failure;
    throw PeerError(failure_);
  }

 private:
  struct Seat {
    const std::function<bool()>* done = nullptr;  // null: ready
    Operation what = Operation::kBarrier;
    bool finished = false;
  };

  // Hands the baton to the next rank that can go on, in cyclic order.
  void PassOn(int from) {
    const int n = static_cast<int>(seats_.size());
    for (int pass = 0; pass < 2; ++pass) {
      int waiting = -1;
      for (int i = 1; i <= n; ++i) {
        const int rank = (from + i) % n;
        const Seat& seat = seats_[rank];
        if (seat.finished) continue;
        if (seat.done == nullptr || !failure_.empty() || (*seat.done)()) {
          turn_ = rank;
          wake_[rank].notify_one();
          return;
        }
        if (waiting < 0 || rank < waiting) waiting = rank;
      }
      if (waiting < 0) return;  // all have finished
      // Nobody can go on. On the second pass the failure lets the waiting ranks wake up and throw.
      failure_ = "rank " + std::to_string(waiting) + " waits in " +
                 std::string(Name(seats_[waiting].what)) + ", which other ranks never call";
    }
  }

  std::mutex mutex_;
  // One per rank, so that passing the baton wakes nobody else.
  std::vector<std::condition_variable> wake_;
  std::vector<Seat> seats_;
  int turn_ = 0;
  std::string failure_;
};

struct Group;

// A collective of a group: what every rank brought to it.
struct Meeting {
  explicit Meeting(int size) : calls(size) {}
  std::vector<Collective> calls;
  int arrived = 0;
  int opened_by = 0;  // the rank that came first
  bool done = false;
  std::vector<std::pair<std::shared_ptr<Group>, int>>
      split;  // per rank: its new group and rank there
};

// The ranks of one communicator. Only the holder of the baton touches it.
struct Group {
  Group(Stage& s, std::vector<int> ranks, const EngineOptions& o)
      : stage(s), members(std::move(ranks)), options(o), next(members.size(), 0) {}
  int size() const { return static_cast<int>(members.size()); }

  Stage& stage;
  std::vector<int> members;  // rank on the stage of each rank of the group
  EngineOptions options;
  std::vector<int64_t> next;  // per rank: which collective it calls next
  int64_t first = 0;          // number of the oldest open meeting
  std::deque<std::shared_ptr<Meeting>> open;
};

void AllReduce(std::vector<Collective>& calls) {
  const io::DType dtype = calls[0].in.dtype;
  const int64_t element = ElementSize(dtype), count = calls[0].in.count;
  constexpr int64_t kBlockBytes = 1 << 16;
  std::vector<std::byte> sum(kBlockBytes);
  std::vector<const std::byte*> parts(calls.size());
  ForEachSegment(count, element, kBlockBytes, [&](Range block) {
    for (size_t r = 0; r < calls.size(); ++r) parts[r] = calls[r].in.data + block.begin * element;
    SumInRankOrder(dtype, parts, {sum.data(), block.size(), dtype});
    for (Collective& call : calls) {
      std::memcpy(call.out.data + block.begin * element, sum.data(), block.size() * element);
    }
  });
}

void ReduceScatter(std::vector<Collective>& calls) {
  const int size = static_cast<int>(calls.size());
  std::vector<const std::byte*> parts(calls.size());
  for (int r = 0; r < size; ++r) {
    const ConstBuffer& in = calls[r].in;
    const int64_t begin = ChunkOf(in.count, size, r).begin * ElementSize(in.dtype);
    for (int i = 0; i < size; ++i) parts[i] = calls[i].in.data + begin;
    SumInRankOrder(in.dtype, parts, calls[r].out);
  }
}

void Move(const Buffer& to, int64_t offset, const ConstBuffer& from) {
  std::byte* target = to.data + offset * ElementSize(to.dtype);
  if (from.count > 0 && target != from.data) std::memmove(target, from.data, from.bytes());
}

void AllGather(std::vector<Collective>& calls) {
  for (Collective& to : calls) {
    int64_t offset = 0;
    for (const Collective& from : calls) {
      Move(to.out, offset, from.in);
      offset += from.in.count;
    }
  }
}

void Split(Group& group, Meeting& meeting) {
  std::map<int, std::vector<int>> colors;
  for (int r = 0; r < group.size(); ++r) colors[meeting.calls[r].color].push_back(r);
  meeting.split.resize(group.size());
  for (const auto& [color, ranks] : colors) {
    std::vector<int> members;
    for (int r : ranks) members.push_back(group.members[r]);
    auto part = std::make_shared<Group>(group.stage, members, group.options);
    for (size_t i = 0; i < ranks.size(); ++i) meeting.split[ranks[i]] = {part, i};
  }
}

// Carries out a collective that every rank has reached.
void Perform(Group& group, Meeting& meeting) {
  std::vector<Collective>& calls = meeting.calls;
  switch (calls[0].operation) {
    case Operation::kAllReduce:
      return AllReduce(calls);
    case Operation::kReduceScatter:
      return ReduceScatter(calls);
    case Operation::kAllGather:
      return AllGather(calls);
    case Operation::kBroadcast:
      for (Collective& call : calls) Move(call.out, 0, calls[call.root].in);
      return;
    case Operation::kBarrier:
      return;
    case Operation::kSplit:
      return Split(group, meeting);
  }
}

bool Matches(const Collective& a, const Collective& b) {
  const bool sizes =
      a.operation == Operation::kAllGather ? a.counts == b.counts : a.in.count == b.in.count;
  return a.operation == b.operation && a.in.dtype == b.in.dtype && a.root == b.root && sizes;
}

std::string Describe(const Collective& call) {
  return std::string(Name(call.operation)) + " of " + std::to_string(call.in.count) + " elements";
}

class SimulatedCommunicator : public Communicator {
 public:
  SimulatedCommunicator(std::shared_ptr<Group> group, int rank)
      : Communicator(rank, group->size()), group_(std::move(group)) {}
  std::string_view engine() const override { return "simulation"; }

  std::unique_ptr<Communicator> Split(int color) override {
    const auto meeting = Arrive({.operation = Operation::kSplit, .color = color});
    WaitFor(*meeting, Operation::kSplit);
    const auto& [part, part_rank] = meeting->split[rank()];
    return std::make_unique<SimulatedCommunicator>(part, part_rank);
  }

 protected:
  Handle Start(Collective call) override {
    const Operation operation = call.operation;
    const auto meeting = Arrive(std::move(call));
    return Handle([this, meeting, operation] { WaitFor(*meeting, operation); });
  }

 private:
  std::shared_ptr<Meeting> Arrive(Collective call) {
    Group& group = *group_;
    group.stage.Check();
    const Traffic t = TrafficOf(call, size(), rank(), group.options);
    Count(call.operation, t.sent, t.received);
    const int64_t number = group.next[rank()]++;
    if (number - group.first == static_cast<int64_t>(group.open.size())) {
      group.open.push_back(std::make_shared<Meeting>(size()));
    }
    const std::shared_ptr<Meeting> meeting = group.open[number - group.first];
    if (meeting->arrived == 0) meeting->opened_by = rank();
    if (meeting->arrived > 0) CheckMatch(*meeting, call);
    meeting->calls[rank()] = std::move(call);
    if (++meeting->arrived == size()) {
      Perform(group, *meeting);
      meeting->done = true;
      group.open.pop_front();  // ranks arrive in order, so meetings fill up in order
      ++group.first;
    }
    return meeting;
  }

  void CheckMatch(const Meeting& meeting, const Collective& call) {
    const Collective& other = meeting.calls[meeting.opened_by];
    if (Matches(other, call)) return;
    group_->stage.Fail("ranks call different collectives: rank " +
                       std::to_string(meeting.opened_by) + " " + Describe(other) + ", rank " +
                       std::to_string(rank()) + " " + Describe(call));
  }

  void WaitFor(const Meeting& meeting, Operation what) {
    group_->stage.WaitFor(group_->members[rank()], what, [&meeting] { return meeting.done; });
  }

  std::shared_ptr<Group> group_;
};

std::string FailureText(int rank, const std::exception_ptr& error) {
  const std::string who = "rank " + std::to_string(rank) + " failed: ";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return who + e.what();
  } catch (...) {
    return who + "unknown exception";
  }
}

}  // namespace

void RunSimulated(int ranks, const std::function<void(Communicator&)>& body,
                  const EngineOptions& options) {
  if (ranks < 1) throw UsageError("there must be at least one rank", std::to_string(ranks));
  Stage stage(ranks);
  std::vector<int> members(ranks);
  for (int r = 0; r < ranks; ++r) members[r] = r;
  const auto world = std::make_shared<Group>(stage, members, options);
  std::exception_ptr first;  // touched by the holder of the baton only

  auto perform = [&](int rank) {
    stage.Enter(rank);
    std::string failure;
    try {
      SimulatedCommunicator communicator(world, rank);
      body(communicator);
    } catch (...) {
      if (!first) first = std::current_exception();
      failure = FailureText(rank, std::current_exception());
    }
    stage.Leave(rank, failure);
  };
  std::vector<std::jthread> threads;
  try {
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(perform, rank);
  } catch (const std::system_error& error) {
    const auto started = static_cast<int>(threads.size());
    // The ranks that run must not wait for those that never will.
    for (int rank = started; rank < ranks; ++rank) stage.Leave(rank, "a rank could not start");
    threads.clear();
    throw ResourceError(
        fmt::format("no thread for rank {} of {}: {}", started, ranks, error.what()), "--ranks",
        "fewer ranks");
  }
  threads.clear();  // joins
  if (first) std::rethrow_exception(first);
}

}  // namespace orchard::comm
