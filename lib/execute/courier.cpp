#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/prctl.h>

#include <algorithm>

#include "execute/executor_state.h"
#include "execute/packed_copy.h"

namespace orchard::execute {
namespace {

using Lock = std::unique_lock<std::mutex>;

int64_t Bytes(const Parcel& parcel) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : parcel.tensors) {
    if (tensor.defined()) bytes += static_cast<int64_t>(tensor.nbytes());
  }
  return bytes;
}

}  // namespace

Courier::Courier(Executor::State& state, int32_t src) : state_(state), src_(src) {
  thread_ = std::thread([this] {
    prctl(PR_SET_TIMERSLACK, 1);  // nanosecond: the throttle's waits end when they should
    Work();
  });
}

Courier::~Courier() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Courier::Send(Parcel parcel) {
  const bool streams = state_.lanes[parcel.src]->stream && state_.lanes[parcel.dst]->stream;
  if (streams) return CarryOnStreams(std::move(parcel));
  {
    const Lock lock(mutex_);
    waiting_.push_back(std::move(parcel));
  }
  changed_.notify_one();
}

void Courier::Work() {
  at::set_num_threads(1);
  const c10::AutoGradMode no_grad(false);
  Lock lock(mutex_);
  while (true) {
    std::vector<Parcel> parcels;
    std::swap(parcels, waiting_);
    if (!parcels.empty()) {
      lock.unlock();
      for (Parcel& parcel : parcels) {
        try {
          Carry(std::move(parcel));
        } catch (...) {
          state_.Fail(std::current_exception());
        }
      }
      lock.lock();
    }
    const auto now = Clock::now();
    auto next = Clock::time_point::max();
    for (size_t k = 0; k < held_.size();) {
      if (held_[k].due <= now) {
        Held held = std::move(held_[k]);
        held_.erase(held_.begin() + static_cast<int64_t>(k));
        lock.unlock();
        Deliver(held);
        lock.lock();
      } else {
        next = std::min(next, held_[k++].due);
      }
    }
    if (!waiting_.empty()) continue;
    if (stop_) return;
    if (next == Clock::time_point::max()) {
      changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    } else {
      changed_.wait_until(lock, next, [&] { return stop_ || !waiting_.empty(); });
    }
  }
}

// When the links of the throttle have brought the parcel; they carry one at a time as the mode of
// the links says, in the order in which parcels are sent.
Clock::time_point Courier::DueTime(const Parcel& parcel) {
  const place::Cluster* links = state_.options.throttle;
  if (links == nullptr) return Clock::time_point::min();
  const auto cost =
      std::chrono::nanoseconds(links->Cost(Bytes(parcel), -1, parcel.src, parcel.dst));
  if (links->comm == place::Comm::kParallel) return parcel.sent + cost;
  const Lock lock(state_.link_mutex);
  auto& receiving =
      links->comm == place::Comm::kHalf ? state_.sending_until : state_.receiving_until;
  auto& from = state_.sending_until[parcel.src];
  auto& to = receiving[parcel.dst];
  return from = to = std::max({parcel.sent, from, to}) + cost;
}

std::vector<at::Tensor> Courier::Copy(const Parcel& parcel, Lane& to) const {
  if (to.stream && WorthPacking(parcel.tensors, to.spec.device))
    return PackedCopy(parcel.tensors, to.spec.device);
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : parcel.tensors) {
    copies.emplace_back();
    if (!tensor.defined()) continue;
    copies.back() = at::empty_like(tensor, tensor.options().device(to.spec.device));
    copies.back().copy_(tensor, /*non_blocking=*/to.stream.has_value());
  }
  return copies;
}

void Courier::Carry(Parcel parcel) {
  if (state_.failed) return;
  Lane& to = *state_.lanes[parcel.dst];
  if (parcel.ready) parcel.ready->synchronize();
  Held held{.due = DueTime(parcel)};
  {
    const ChargeTo charge(to.account);
    held.copies = Copy(parcel, to);
  }
  held.parcel = std::move(parcel);
  if (to.stream) c10::impl::VirtualGuardImpl(c10::kCUDA).synchronizeDevice(to.spec.device.index());
  held.parcel.tensors.clear();
  held.parcel.ready = nullptr;
  if (held.due <= Clock::now()) return Deliver(held);
  const Lock lock(mutex_);
  held_.push_back(std::move(held));
}

void Courier::CarryOnStreams(Parcel parcel) {
  Lane& from = *state_.lanes[parcel.src];
  Lane& to = *state_.lanes[parcel.dst];
  const c10::impl::VirtualGuardImpl cuda(c10::kCUDA);
  const c10::Stream stream =
      streams_.try_emplace(parcel.dst, cuda.getStreamFromGlobalPool(from.spec.device, false))
          .first->second;
  Held held;
  const c10::Stream before = cuda.exchangeStream(stream);
  parcel.ready->block(stream);
  held.copies = Copy(parcel, to);
  for (const at::Tensor& tensor : parcel.tensors) {
    if (tensor.defined()) tensor.record_stream(stream);
  }
  parcel.ready = std::make_shared<c10::Event>(c10::kCUDA);
  // Between two GPUs LibTorch lets the receiver's stream wait for the copy.
  parcel.ready->record(cuda.getStream(to.spec.device));
  cuda.exchangeStream(before);
  parcel.tensors.clear();
  held.parcel = std::move(parcel);
  Deliver(held);
}

void Courier::Deliver(Held& held) {
  const Parcel& parcel = held.parcel;
  Lane& to = *state_.lanes[parcel.dst];
  const Wiring& wiring = state_.wiring;
  const Span span{state_.Since(parcel.sent), state_.Since(Clock::now())};
  int64_t bytes = 0;
  const Lock lock(to.mutex);
  for (size_t k = 0; k < parcel.items.size(); ++k) {
    const int32_t item = parcel.items[k];
    const Arrival arrival{held.copies[k], parcel.ready};
    const int32_t value = parcel.gradient ? wiring.value_of_slot[item] : item;
    if (held.copies[k].defined()) {
      bytes = static_cast<int64_t>(held.copies[k].nbytes());
      to.received.push_back({{wiring.producer[value], wiring.port[value]},
                             parcel.gradient,
                             parcel.src,
                             parcel.dst,
                             bytes,
                             span});
      if (to.stream && !parcel.gradient) to.account->Charge(bytes);
    }
    if (parcel.gradient) {
      to.gradients[item] = arrival;
      --to.missing_gradients[wiring.producer[value]];
      continue;
    }
    to.values[item] = arrival;
    for (int32_t reader : wiring.readers[item * wiring.devices + parcel.dst]) --to.missing[reader];
  }
  to.changed.notify_all();
}

}  // namespace orchard::execute
