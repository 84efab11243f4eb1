#include "sync/fused_algorithm.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace orchard::sync {
namespace {

// Streams of random rounding: one per step and bucket.
constexpr uint64_t kBucketsPerStep = 1 << 16;
// Elements whose update takes clearly longer than handing a message to another thread, which was
// seen to cost 0.2 ms.
constexpr int64_t kWorthAThread = 1 << 22;

int64_t BytesOf(WireFormat format, size_t full) {
  switch (format) {
    case WireFormat::kFull:
      return static_cast<int64_t>(full);
    case WireFormat::kBf16:
    case WireFormat::kFp16:
      return 2;
    case WireFormat::kInt8:
      return 1;
  }
  return 1;
}

template <class Parts>
int64_t CountOf(const Parts& parts) {
  int64_t count = 0;
  for (const Selection& part : parts) count += part.count;
  return count;
}

}  // namespace

template <class T>
FusedAlgorithm<T>::FusedAlgorithm(const AlgorithmSetting& s, int64_t delay)
    : options_(s.algorithm),
      layout_(s.layout),
      device_(s.device),
      optimizer_(s.algorithm, s.layout, s.device),
      wire_{s.compress.wire, s.compress.overlap || delay > 0, s.seed},
      bucket_bytes_(static_cast<int64_t>(s.compress.bucket_mb * 1e6)),
      delay_(delay) {}

template <class T>
int64_t FusedAlgorithm<T>::SlotEnd(size_t slot) const {
  return slot + 1 < layout_.slots().size() ? layout_.slots()[slot + 1].offset : layout_.size();
}

template <class T>
auto FusedAlgorithm<T>::MakeBucket(const Parts& parts, size_t first_slot, size_t end_slot) const
    -> Bucket {
  Bucket b(device_, device_ranks_ != nullptr ? &device_.device_messages() : &device_.messages());
  b.first_slot = first_slot;
  b.end_slot = end_slot;
  b.region = {first_slot == 0 ? 0 : layout_.slots()[first_slot].offset, SlotEnd(end_slot - 1)};
  int64_t wire = 0;
  for (size_t p = 0; p < kParts; ++p) {
    b.parts[p] = Clip(parts[p], b.region);
    const std::vector<Piece> pieces = PiecesOf(b.parts[p], wire);
    b.moves[p].assign(pieces.begin(), pieces.end());
    wire += b.parts[p].count;
  }
  const RegionPieces pieces = Divide(b.region, b.parts);
  b.early.assign(pieces.early.begin(), pieces.early.end());
  b.late.assign(pieces.late.begin(), pieces.late.end());
  return b;
}

template <class T>
auto FusedAlgorithm<T>::Cut(const Parts& parts) const -> std::vector<Bucket> {
  std::vector<Bucket> buckets;
  const int64_t element = BytesOf(wire_.format, sizeof(T));
  size_t end = layout_.slots().size();
  if (CountOf(parts) * element > bucket_bytes_) {
    int64_t bytes = 0;
    for (size_t slot = end; slot-- > 1;) {
      const Range region{layout_.slots()[slot].offset, SlotEnd(slot)};
      for (const Selection& part : parts) bytes += element * Clip(part, region).count;
      if (bytes < bucket_bytes_) continue;
      buckets.push_back(MakeBucket(parts, slot, end));
      end = slot;
      bytes = 0;
    }
  }
  buckets.push_back(MakeBucket(parts, 0, end));
  return buckets;
}

template <class T>
void FusedAlgorithm<T>::Step(const StepInput<T>& in) {
  Start(in);
  Finish();
}

template <class T>
void FusedAlgorithm<T>::Start(const StepInput<T>& in) {
  input_.emplace(in);
  buckets_ = Cut(PartsOf(in.step));
  ready_.assign(layout_.slots().size(), false);
  sent_ = 0;
  // The engine's thread costs a little: it is used where there is something to do meanwhile.
  int64_t late = 0;
  for (const Bucket& b : buckets_) {
    for (const Piece& p : b.late) late += p.count;
  }
  const bool worth = delay_ > 0 || buckets_.size() > 1 || late >= kWorthAThread;
  async_ = wire_.async && worth && in.ranks.size() > 1;
  // Beside the kernels' stream a message costs no thread.
  if (device_ranks_ != nullptr) async_ = true;
}

template <class T>
void FusedAlgorithm<T>::Ready(size_t slot) {
  ready_[slot] = true;
  while (sent_ < buckets_.size()) {
    Bucket& next = buckets_[sent_];
    const auto slots = ready_.begin();
    if (!std::all_of(slots + next.first_slot, slots + next.end_slot, [](bool r) { return r; })) {
      return;
    }
    Send(next, sent_++);
  }
}

template <class T>
void FusedAlgorithm<T>::Run(const PieceList& pieces, T* wire) {
  if (pieces.empty()) return;
  UpdateArgs<T> args = optimizer_.Args(*input_);
  args.wire = wire;
  args.pieces = pieces.data();
  args.piece_count = std::ssize(pieces);
  Update(args);
}

template <class T>
void FusedAlgorithm<T>::Send(Bucket& b, size_t number) {
  if (optimizer_.NeedsWholeTensors()) device_.Wait();  // its norms are the host's
  for (size_t slot = b.first_slot; slot < b.end_slot; ++slot) Prepare(slot);
  if (!SendsInPlace()) b.wire.Resize(static_cast<size_t>(CountOf(b.parts)));
  b.message = b.wire.span();
  Run(b.early, b.wire.data());
  Load(b);
  if (b.message.empty()) return;
  if (delay_ > 0) {
    b.snapshot.Resize(b.message.size());
    device_.Copy(b.snapshot.data(), b.message.data(), b.message.size_bytes());
  }
  if (device_ranks_ == nullptr) device_.Wait();  // the host sends
  const auto stream = static_cast<uint64_t>(input_->step) * kBucketsPerStep + number;
  WireSetting setting = wire_;
  setting.async = async_;
  comm::Communicator& ranks =
      device_ranks_ != nullptr ? static_cast<comm::Communicator&>(*device_ranks_) : input_->ranks;
  b.exchange.Start(b.message, ranks, setting, stream);
}

template <class T>
void FusedAlgorithm<T>::Settle(std::vector<Bucket>& buckets) {
  const auto pending = [](const Bucket& b) { return !b.arrived && !b.message.empty(); };
  for (Bucket& b : buckets) {
    if (pending(b)) b.exchange.Continue();
  }
  for (Bucket& b : buckets) {
    if (pending(b)) {
      b.exchange.Finish();
      b.residual.assign(b.exchange.residual().begin(), b.exchange.residual().end());
    }
    b.arrived = true;
  }
}

template <class T>
void FusedAlgorithm<T>::Finish() {
  while (sent_ < buckets_.size()) {
    Send(buckets_[sent_], sent_);
    ++sent_;
  }
  for (const Bucket& b : buckets_) Run(b.late, nullptr);
  flights_.push_back(std::move(buckets_));
  const T mean = T{1} / static_cast<T>(input_->ranks.size());
  while (std::ssize(flights_) > delay_) {
    Settle(flights_.front());
    if (device_ranks_ != nullptr) device_ranks_->Synchronize();
    for (Bucket& b : flights_.front()) {
      if (b.message.empty()) continue;
      Apply(b, mean);
      if (!b.residual.empty()) KeepResidual(b);
    }
    device_.Wait();
    flights_.pop_front();
  }
}

template <class T>
MoveArgs<T> FusedAlgorithm<T>::Move(Bucket& b, size_t part, T* values, T scale) const {
  const PieceList& pieces = b.moves[part];
  return {pieces.data(), std::ssize(pieces), b.message.data(), values, scale};
}

template <class T>
MoveArgs<T> FusedAlgorithm<T>::MoveResidual(Bucket& b, size_t part, T* values, T scale) const {
  MoveArgs<T> move = Move(b, part, values, scale);
  move.wire = b.residual.data();
  return move;
}

template <class T>
void FusedAlgorithm<T>::ResumeAt(int64_t steps) {
  flights_.clear();
  for (int64_t t = std::max<int64_t>(1, steps - delay_ + 1); t <= steps; ++t) {
    std::vector<Bucket> buckets = Cut(PartsOf(t));
    for (Bucket& b : buckets) {
      const auto size = static_cast<size_t>(CountOf(b.parts));
      b.wire.Resize(size);
      b.message = b.wire.span();
      b.snapshot.Resize(size);
      if (wire_.format != WireFormat::kFull) b.residual.resize(size);
      b.arrived = true;
    }
    flights_.push_back(std::move(buckets));
  }
}

template <class T>
std::vector<StateBuffer<T>> FusedAlgorithm<T>::State() {
  std::vector<StateBuffer<T>> state;
  optimizer_.AddState(state);
  for (const StateBuffer<T>& own : OwnState()) state.push_back(own);
  flight_names_.clear();
  for (size_t f = 0; f < flights_.size(); ++f) {
    Settle(flights_[f]);
    if (device_ranks_ != nullptr) device_ranks_->Synchronize();
    device_.Wait();
    for (size_t i = 0; i < flights_[f].size(); ++i) {
      Bucket& b = flights_[f][i];
      const auto add = [&](const char* what, std::span<T> values) {
        flight_names_.push_back(fmt::format("flight{}.{}.{}", f, i, what));
        state.push_back({flight_names_.back(), values});
      };
      if (b.message.empty()) continue;
      add("sum", b.message);
      add("snapshot", b.snapshot.span());
      if (!b.residual.empty()) add("residual", b.residual);
    }
  }
  return state;
}

template <class T>
Message FusedAlgorithm<T>::MessageOf(int64_t step, int ranks) const {
  Message message;
  const Parts parts = PartsOf(step);
  if (wire_.format == WireFormat::kFull) return {.reduced = CountOf(parts)};
  for (const Bucket& b : Cut(parts)) {
    message += ExchangeMessage(wire_.format, CountOf(b.parts), ranks);
  }
  return message;
}

template class FusedAlgorithm<float>;
template class FusedAlgorithm<double>;

}  // namespace orchard::sync
