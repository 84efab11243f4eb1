// A distributed training algorithm, as seen by one rank: what it does with its model and its
// gradient in a step, and what it exchanges with the others.
//
// A step is a function of (x_i, g_i, state, step number, learning rate) and of the same on the
// other ranks. It knows nothing of models or data, so every algorithm runs on arenas of float or
// double, in tests on closed forms and in training on LibTorch's gradients.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "comm/stream_communicator.h"
#include "sync/algorithm_options.h"
#include "sync/arena.h"
#include "sync/device.h"
#include "sync/message.h"
#include "sync/ratio_stages.h"

namespace orchard::sync {

template <class T>
struct StepInput {
  int64_t step = 1;  // t, from 1
  double learning_rate = 0;
  double gradient_scale = 1;  // multiplies the gradient: clipping
  std::span<T> values;        // x_i, arena; updated
  std::span<T> gradient;      // g_i of the mini-batch mean, arena; may be overwritten
  comm::Communicator& ranks;
  ThreadPool* pool = nullptr;  // null: on this thread
};

// Part of the state of a rank: a buffer of the size of the arena, or smaller.
template <class T>
struct StateBuffer {
  std::string_view name;  // "momentum", "error", ...
  std::span<T> values;
};

template <class T>
class Algorithm {
 public:
  virtual ~Algorithm() = default;

  // Lets messages go straight from the device's memory by `ranks`, a communicator beside the stream
  // of its kernels that outlives the algorithm. Before anything else,
  // and only where CanSendFromDevice(): where messages are neither narrow nor the host's work.
  virtual bool CanSendFromDevice() const { return false; }
  virtual void SendFromDevice(comm::StreamCommunicator& /*ranks*/) {}

  // Before the first step, with the model that all ranks begin with.
  virtual void Begin(std::span<const T> /*values*/) {}

  virtual void Step(const StepInput<T>& input) = 0;

  // ---- a step in parts, so that messages leave while a backward pass goes on. The same bits as
  // Step. Only where Streams():

  virtual bool Streams() const { return false; }
  // What is sent is settled; nothing of the gradient is read yet.
  virtual void Start(const StepInput<T>& /*input*/) {}
  // The gradient of slot number `slot` of the layout is complete, in any order: its weights may
  // change now. Needs no call for every slot.
  virtual void Ready(size_t /*slot*/) {}
  // The whole gradient is there. Returns when the step is done.
  virtual void Finish() {}

  // ---- state

  // Before State() of a run that goes on after `steps` steps: buffers of what is on its way then.
  virtual void ResumeAt(int64_t /*steps*/) {}
  // Everything besides x that a resumed run needs. Waits for messages on their way.
  virtual std::vector<StateBuffer<T>> State() = 0;

  // e_i where the algorithm keeps it. Else empty.
  virtual std::span<const T> error() const { return {}; }
  // The model of a rank in full: `values` are where it takes gradients, and may hold only a part of
  // its error. The mean over ranks of what comes out is the model that the job has trained.
  virtual void AddHeldBack(std::span<T> /*values*/) const {}
  // What is the same on all ranks where there is an error: x_i without what is not yet averaged.
  virtual void RemoveErrors(std::span<T> values) const {
    const std::span<const T> e = error();
    for (size_t i = 0; i < e.size(); ++i) values[i] -= e[i];
  }

  // What step t of `ranks` ranks sends.
  virtual Message MessageOf(int64_t step, int ranks) const = 0;

  // Whether all ranks hold the same model after every step.
  virtual bool OneModel() const { return false; }
};

// `layout` must outlive the result. Throws UsageError.
//   seed    of the draws; the same on all ranks
//   stages  how the ratio changes over the run
//   device  where the arenas lie that Step is given; it must outlive the result, too
template <class T>
std::unique_ptr<Algorithm<T>> MakeAlgorithm(const AlgorithmOptions& algorithm,
                                            const CompressOptions& compress,
                                            const ArenaLayout& layout, uint64_t seed,
                                            const RatioStages& stages = {},
                                            const Device& device = Device::Cpu());

// Elements (or bytes as elements) that a step sends on average over many steps, against the dense
// exchange of all parameters: the true compression ratio, as the message formulas give it.
//   steps  that the mean is taken over
template <class T>
double TrueRatio(const Algorithm<T>& algorithm, const ArenaLayout& layout, int ranks,
                 int64_t steps);

}  // namespace orchard::sync
