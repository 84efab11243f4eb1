// What the threads of an executor share. Internal to executor*.cpp and courier.cpp.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "execute/account.h"
#include "execute/executor.h"

namespace orchard::execute {

using Clock = std::chrono::steady_clock;

// A tensor on a device, and the event after which a stream may read it (CUDA).
struct Arrival {
  at::Tensor tensor;
  std::shared_ptr<c10::Event> ready;
};

// The dataflow of a program on a layout, by index: what is static.
struct Wiring {
  Wiring(const Program& program, const Layout& layout, bool train);

  int32_t ValueIndex(const Value& value) const { return value_begin[value.op] + value.port; }
  int32_t Owner(int32_t value) const { return device[producer[value]]; }

  std::vector<int32_t> device;          // of each operator
  std::vector<int32_t> value_begin;     // of each operator: its ports are consecutive values
  std::vector<int32_t> producer, port;  // of each value
  // Of each value and device: the operators there that read it. [value * devices + device]
  std::vector<std::vector<int32_t>> readers;
  std::vector<std::vector<int32_t>> destinations;  // of each value: other devices that read it
  std::vector<int32_t> remote_inputs;              // of each operator
  std::vector<uint8_t> is_output;                  // of each value
  size_t devices = 0;

  // Training. A gradient of a value comes from each reader that needs one, in the order of
  // operators: gradient slots [gradient_begin[value], gradient_begin[value + 1]).
  std::vector<uint8_t> needs_gradient;              // of each operator
  std::vector<int32_t> gradient_begin;              // of each value
  std::vector<std::vector<int32_t>> gradient_slot;  // of each operator and input; -1: none
  std::vector<int32_t> value_of_slot;               // of each gradient slot
  std::vector<int32_t> awaited_gradients;           // of each operator: slots of its outputs
};

// Tensors on their way from one device to another one; several travel as one copy.
struct Parcel {
  std::vector<int32_t> items;  // values, or gradient slots
  std::vector<at::Tensor> tensors;
  bool gradient = false;
  int32_t src = 0, dst = 0;
  std::shared_ptr<c10::Event> ready;  // CUDA: after which the tensors may be read
  Clock::time_point sent;
};

struct Lane;
class HostLink;  // host_link.h

// Carries parcels away from one device. On the CPU by a thread of its own; on CUDA the caller
// submits the copy to a stream of the pair.
class Courier {
 public:
  Courier(Executor::State& state, int32_t src);
  ~Courier();
  void Send(Parcel parcel);

 private:
  struct Held {  // delivered when its time has come
    Clock::time_point due;
    Parcel parcel;
    std::vector<at::Tensor> copies;
  };
  void Work();
  void Carry(Parcel parcel);
  void CarryOnStreams(Parcel parcel);
  std::vector<at::Tensor> Copy(const Parcel& parcel, Lane& to) const;
  void Deliver(Held& held);
  Clock::time_point DueTime(const Parcel& parcel);

  Executor::State& state_;
  int32_t src_;
  std::map<int32_t, c10::Stream> streams_;  // by destination
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Parcel> waiting_;
  std::vector<Held> held_;
  bool stop_ = false;
  std::thread thread_;
};

// One device and its thread.
struct Lane {
  int32_t index = 0;
  DeviceSpec spec;
  std::shared_ptr<Account> account;
  std::vector<int32_t> order;
  std::map<int32_t, at::Tensor> parameters;  // by index in the program
  std::map<int32_t, at::Tensor> inputs;      // by operator
  std::optional<c10::Stream> stream;         // CUDA
  std::unique_ptr<Courier> courier;
  std::unique_ptr<HostLink> host;  // with parameters on the host
  std::thread thread;

  Lane();
  ~Lane();

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  std::vector<Arrival> values;             // by value
  std::vector<int32_t> missing;            // remote inputs of each operator
  std::vector<Arrival> gradients;          // by slot, of values that were made here
  std::vector<int32_t> missing_gradients;  // of each operator
  std::vector<TransferSpan> received;

  // Of this thread alone.
  struct Saved {
    std::vector<at::Tensor> leaves, outputs;  // of the forward pass
  };
  std::map<int32_t, Saved> saved;                                        // by operator
  std::map<int32_t, std::map<int32_t, at::Tensor>> parameter_gradients;  // by parameter, operator
  std::map<int32_t, at::Tensor> gradient_sums;                           // by parameter
  std::vector<int32_t> unread;       // of each value: readers here that have not run
  std::shared_ptr<c10::Event> base;  // CUDA: when the step began, `base_us` after the host's start
  double base_us = 0;
  struct Timed {
    std::shared_ptr<c10::Event> begin, end;
  };
  std::map<int32_t, Timed> timed_forward, timed_backward;
};

struct Executor::State {
  State(const Program& program, Layout layout, const std::vector<DeviceSpec>& devices,
        const ExecutorOptions& options);
  ~State();

  const Program& program;
  ExecutorOptions options;
  Wiring wiring;
  std::shared_ptr<const place::HostPlan> host;  // may be null
  std::vector<std::unique_ptr<Lane>> lanes;

  // Links of the throttle: until when each device's channels are taken.
  std::mutex link_mutex;
  std::vector<Clock::time_point> sending_until, receiving_until;

  std::mutex mutex;
  std::condition_variable changed;
  int64_t step = 0;    // lanes run when it grows
  size_t running = 0;  // lanes that have not finished
  bool stop = false;
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
  Clock::time_point begin;
  StepResult* result = nullptr;

  double Since(Clock::time_point time) const {
    return std::chrono::duration<double, std::micro>(time - begin).count();
  }
  void Fail(std::exception_ptr error);

  void LaneMain(Lane& lane);
  void RunStep(Lane& lane);
  void ResetLane(Lane& lane);
  void Forward(Lane& lane, int32_t op);
  std::vector<at::Tensor> CallBody(Lane& lane, int32_t op, std::vector<at::Tensor>& inputs);
  void Publish(Lane& lane, int32_t op, std::vector<at::Tensor> outputs);
  void Release(Lane& lane, int32_t op);
  void Backward(Lane& lane, int32_t op);
  void PassGradients(Lane& lane, int32_t op, const std::vector<at::Tensor>& gradients);
  at::Tensor SumGradients(Lane& lane, int32_t value);
  void Update(Lane& lane);
  void Wait(Lane& lane, const std::vector<int32_t>& counter, int32_t op);
  at::Tensor Take(Lane& lane, const Arrival& arrival) const;
  std::shared_ptr<c10::Event> Mark(const Lane& lane, bool timing = false) const;
  void MarkBegin();
  void ReadClocks(Lane& lane);
};

}  // namespace orchard::execute
