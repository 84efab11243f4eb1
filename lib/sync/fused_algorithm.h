// The frame of all algorithms whose message is known before the gradient is, and dense: blocks that
// all ranks select.
//
// The message is cut into buckets at the borders of tensors, from the end of the arena, where
// backward passes begin. As soon as all gradients of a bucket are there, what it sends is updated,
// gathered and sent; what nobody waits for is updated afterwards, while messages are on their way;
// when a mean has arrived it is applied. Ranks cut alike, so they send in the same order.
//
// With `delay` = d the mean of step t is applied at the end of step t + d.
#pragma once

#include <array>
#include <deque>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sync/algorithm.h"
#include "sync/exchange.h"
#include "sync/local_optimizer.h"
#include "sync/make_algorithm.h"
#include "sync/message_buffer.h"
#include "sync/pieces.h"

namespace orchard::sync {

template <class T>
class FusedAlgorithm : public Algorithm<T> {
 public:
  void Step(const StepInput<T>& input) final;
  bool Streams() const final { return true; }
  // A narrow message is summed in f32 between ranks, which is the host's work.
  bool CanSendFromDevice() const final {
    return !device_.is_cpu() && wire_.format == WireFormat::kFull;
  }
  void SendFromDevice(comm::StreamCommunicator& ranks) final { device_ranks_ = &ranks; }
  void Start(const StepInput<T>& input) final;
  void Ready(size_t slot) final;
  void Finish() final;
  void ResumeAt(int64_t steps) final;
  std::vector<StateBuffer<T>> State() final;
  Message MessageOf(int64_t step, int ranks) const final;

 protected:
  // A message has up to four parts, one after the other, which mean what the algorithm says. The
  // first is what its fused kernel writes.
  static constexpr size_t kParts = 4;
  using Parts = std::array<Selection, kParts>;

  using PieceList = std::pmr::vector<Piece>;
  struct Bucket {
    //   messages  where what is sent lies
    Bucket(const Device& device, std::pmr::memory_resource* messages)
        : early(&device.messages()),
          late(&device.messages()),
          moves{PieceList(&device.messages()), PieceList(&device.messages()),
                PieceList(&device.messages()), PieceList(&device.messages())},
          wire(messages),
          snapshot(messages),
          exchange(device),
          residual(&device.messages()) {}

    Range region;                         // of the arena
    size_t first_slot = 0, end_slot = 0;  // tensors of the region
    Parts parts;                          // within it
    PieceList early, late;                // what is sent, or must be known for it; the rest
    std::array<PieceList, kParts> moves;  // each part, with places in the message
    MessageBuffer<T> wire;                // [part 0 | part 1 | part 2]
    std::span<T> message;                 // what is sent: `wire`, unless Load says otherwise
    MessageBuffer<T> snapshot;            // of the message, while it is on its way (with a delay)
    Exchange<T> exchange;
    std::pmr::vector<T> residual;  // after the exchange; empty for full messages
    bool arrived = false;
  };

  FusedAlgorithm(const AlgorithmSetting& setting, int64_t delay);

  // What step t sends.
  virtual Parts PartsOf(int64_t step) const = 0;
  // Whether Load names memory of its own as the message.
  virtual bool SendsInPlace() const { return false; }
  // Once per tensor, before Update.
  virtual void Prepare(size_t slot) { optimizer_.Prepare(*input_, slot); }
  // The fused kernel, on pieces; those that are sent go to `wire`.
  virtual void Update(UpdateArgs<T> args) = 0;
  // After Update of what a bucket sends: gathers its other parts.
  virtual void Load(Bucket& /*bucket*/) {}
  // The sum over ranks is in bucket.message; `mean` is one over their number.
  virtual void Apply(Bucket& bucket, T mean) = 0;
  // What rounding has left out of the message.
  virtual void KeepResidual(Bucket& bucket) = 0;
  // The buffers of an algorithm besides those of its optimiser.
  virtual std::vector<StateBuffer<T>> OwnState() { return {}; }

  MoveArgs<T> Move(Bucket& bucket, size_t part, T* values, T scale = 1) const;
  // The same with the residual in place of the message.
  MoveArgs<T> MoveResidual(Bucket& bucket, size_t part, T* values, T scale = 1) const;
  const StepInput<T>& input() const { return *input_; }
  // Messages on their way, oldest first.
  const std::deque<std::vector<Bucket>>& flights() const { return flights_; }
  WireFormat wire_format() const { return wire_.format; }

  const AlgorithmOptions options_;
  const ArenaLayout& layout_;
  const Device& device_;
  LocalOptimizer<T> optimizer_;

 private:
  std::vector<Bucket> Cut(const Parts& parts) const;
  Bucket MakeBucket(const Parts& parts, size_t first_slot, size_t end_slot) const;
  int64_t SlotEnd(size_t slot) const;
  void Send(Bucket& bucket, size_t number);
  void Settle(std::vector<Bucket>& buckets);
  void Run(const PieceList& pieces, T* wire);

  WireSetting wire_;
  int64_t bucket_bytes_, delay_;
  comm::StreamCommunicator* device_ranks_ = nullptr;
  std::optional<StepInput<T>> input_;  // of the step under way
  std::vector<Bucket> buckets_;        // of it
  std::vector<bool> ready_;            // per slot
  size_t sent_ = 0;                    // buckets
  bool async_ = false;                 // whether messages travel while this thread goes on
  std::deque<std::vector<Bucket>> flights_;
  std::deque<std::string> flight_names_;
};

}  // namespace orchard::sync
