// Runs a placed program: every device has a host thread that runs its operators in the order of the
// plan, and every tensor goes once to each other device that reads it. On CPU devices an operator
// uses one thread, and a transfer is a copy into memory that belongs to the other device, made by a
// thread of the sender. On CUDA every device has a stream of its own, transfers have one for each
// pair of devices, and threads only submit work.
//
// A training step runs the backward pass operator by operator, in the reverse order of the plan and
// on the device of the forward pass; gradients of one tensor add up in the order of its readers,
// whatever the placement. Source: Jeon et al., 2020, and the authors' PyTorch code, as far as one
// queue per device and one transfer per destination go.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "execute/device_spec.h"
#include "execute/program.h"
#include "place/cluster.h"

namespace orchard::place {
struct HostPlan;  // host_plan.h
}  // namespace orchard::place

namespace orchard::execute {

// Where every operator runs, in which order on each device, and whose parameters the host keeps.
struct Layout {
  std::vector<int32_t> device;
  std::vector<std::vector<int32_t>> order;
  std::shared_ptr<const place::HostPlan> host = nullptr;  // may be null
};

// Everything on device 0, in the order of the program.
Layout SingleLayout(const Program& program, size_t devices);

struct Span {
  double begin_us = 0, end_us = 0;  // since the start of the step
  double us() const { return end_us - begin_us; }
};

struct TransferSpan {
  Value value;
  bool gradient = false;
  int32_t src = 0, dst = 0;
  int64_t bytes = 0;
  Span span;
};

// Parameters of an operator that came from the host.
struct FetchSpan {
  int32_t op = 0, device = 0;
  int64_t bytes = 0;
  Span span;
};

struct StepResult {
  double us = 0;                    // from the start to the end of the last device
  std::vector<at::Tensor> outputs;  // on the CPU
  std::vector<at::Tensor>
      gradients;  // of each parameter, on the CPU; undefined where there is none
  std::vector<Span> forward, backward;  // of each operator
  std::vector<Span> update;             // of each device
  std::vector<TransferSpan> transfers;
  std::vector<FetchSpan> fetches;
  std::vector<int64_t> peak_bytes;  // of each device
};

struct ExecutorOptions {
  bool train = false;
  double learning_rate = 0;
  bool keep_results = false;                 // outputs and gradients in StepResult
  const place::Cluster* throttle = nullptr;  // transfers take as long as its links say; CPU only
};

class Executor {
 public:
  // Copies the parameters to their devices, but for those that the layout keeps on the host: that
  // is for forward passes on CPU devices, and for parameters that one operator reads. The layout's
  // order must be one that does not wait for itself. Throws ImpossibleError when members of a group
  // are on two devices or when the program cannot be trained; ResourceError when a device is too
  // small.
  Executor(const Program& program, Layout layout, const std::vector<DeviceSpec>& devices,
           const ExecutorOptions& options);
  ~Executor();

  // One step on the program's example inputs. Throws what an operator throws; ResourceError, naming
  // operator and device, when memory does not suffice. After a throw the executor is of no use.
  StepResult Step();

  // Parameters as they are after the steps so far, on the CPU.
  std::vector<at::Tensor> Parameters() const;

  struct State;  // executor_state.h

 private:
  std::unique_ptr<State> state_;
};

}  // namespace orchard::execute
