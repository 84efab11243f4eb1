#include "place/batch_simulator.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

#if ORCHARD_HAVE_CUDA
#include <cuda_runtime_api.h>

#include <string>

#include "cuda/place/batch_simulate.h"
#endif

namespace orchard::place {

#if ORCHARD_HAVE_CUDA
namespace {

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it for the next call
  const std::string text = std::string(what) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation || status == cudaErrorInvalidDevice ||
      status == cudaErrorNoDevice)
    throw ResourceError(text, "", "use --device cpu");
  throw Error(ExitCode::kInternal, text);
}

struct FreeDevice {
  void operator()(void* memory) const { cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
template <class T>
using DeviceMemory = std::unique_ptr<T, FreeDevice>;

template <class T>
DeviceMemory<T> Allocate(int64_t count) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(count, 1)) * sizeof(T)),
        "device memory for candidate plans");
  return DeviceMemory<T>(static_cast<T*>(memory));
}

// The arrays of a graph on a device, and room for candidates and results.
class OnDevice {
 public:
  OnDevice(const BatchGraph& graph, int64_t blocks, bool with_memory, int device)
      : device_(device) {
    Check(cudaSetDevice(device), "CUDA device");
    Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    const int64_t lanes = blocks * kBatchLanes;
    order_ = Allocate<int32_t>(blocks * graph.ops);
    devices_ = Allocate<uint8_t>(lanes * graph.ops);
    end_ = Allocate<char>(lanes * graph.ops * (graph.wide ? 8 : 4));
    makespan_ = Allocate<int64_t>(lanes);
    args_ = graph.Args(with_memory ? &memory_ : nullptr);
    args_.in_begin = Upload(graph.in_begin);
    args_.producer = Upload(graph.producer);
    args_.work = graph.wide ? static_cast<const void*>(Upload(graph.work64)) : Upload(graph.work32);
    args_.cost = graph.wide ? static_cast<const void*>(Upload(graph.cost64)) : Upload(graph.cost32);
    args_.order = order_.get();
    args_.device = devices_.get();
    args_.end = end_.get();
    args_.makespan = makespan_.get();
    if (!with_memory) return;
    memory_.use_begin = Upload(graph.use_begin);
    memory_.used = Upload(graph.used);
    memory_.tensor_begin = Upload(graph.tensor_begin);
    memory_.bytes = Upload(graph.bytes);
    memory_.copy = Upload(graph.copy);
    memory_.saved = Upload(graph.saved);
    memory_.perm = Upload(graph.perm);
    memory_.kept = Upload(graph.kept);
    memory_.fleeting = Upload(graph.fleeting);
    memory_.limit = Upload(graph.limit);
    readers_ = Allocate<uint32_t>(lanes * memory_.tensors);
    excess_ = Allocate<int64_t>(lanes);
    memory_.readers = readers_.get();
    memory_.excess = excess_.get();
  }
  ~OnDevice() { cudaStreamDestroy(stream_); }

  void SendOrders(const int32_t* order, int64_t blocks) {
    Send(order_.get(), order, blocks * args_.ops);
  }

  void Run(const uint8_t* devices, int64_t blocks, int64_t* makespan, int64_t* excess) {
    Check(cudaSetDevice(device_), "CUDA device");  // of this thread
    const int64_t lanes = blocks * kBatchLanes;
    Send(devices_.get(), devices, lanes * args_.ops);
    args_.blocks = blocks;
    cuda::BatchSimulate(args_, stream_);
    Fetch(makespan, makespan_.get(), lanes);
    if (args_.memory) Fetch(excess, excess_.get(), lanes);
    Check(cudaStreamSynchronize(stream_), "simulating candidate plans");
  }

 private:
  // A copy that lives as long as this.
  template <class T>
  const T* Upload(const std::vector<T>& values) {
    DeviceMemory<T> memory = Allocate<T>(static_cast<int64_t>(values.size()));
    Send(memory.get(), values.data(), static_cast<int64_t>(values.size()));
    const T* data = memory.get();
    constants_.emplace_back(memory.release());
    return data;
  }
  template <class T>
  void Send(T* to, const T* from, int64_t count) {
    Check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), cudaMemcpyHostToDevice,
                          stream_),
          "copy to the device");
  }
  template <class T>
  void Fetch(T* to, const T* from, int64_t count) {
    Check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), cudaMemcpyDeviceToHost,
                          stream_),
          "copy from the device");
  }

  int device_;
  cudaStream_t stream_ = nullptr;
  BatchArgs args_;
  BatchMemory memory_;
  std::vector<DeviceMemory<void>> constants_;
  DeviceMemory<int32_t> order_;
  DeviceMemory<uint8_t> devices_;
  DeviceMemory<char> end_;
  DeviceMemory<int64_t> makespan_, excess_;
  DeviceMemory<uint32_t> readers_;
};

// Pinned, so that the bus is used fully; the kernel waits for it.
std::unique_ptr<uint8_t, FreePinned> Pinned(int64_t bytes) {
  void* memory = nullptr;
  Check(cudaMallocHost(&memory, static_cast<size_t>(bytes)), "pinned memory for candidate plans");
  return std::unique_ptr<uint8_t, FreePinned>(static_cast<uint8_t*>(memory));
}

}  // namespace
#endif

struct BatchSimulator::State {
  State(const Problem& problem, int64_t count, int threads)
      : graph(problem),
        with_memory(problem.memory_can_bind),
        blocks(count),
        order(static_cast<size_t>(count) * graph.ops),
        makespan(static_cast<size_t>(count) * kBatchLanes),
        excess(static_cast<size_t>(count) * kBatchLanes),
        pool(threads) {}

  BatchGraph graph;
  bool with_memory;
  int64_t blocks;
  bool orders_sent = false;
  std::vector<int32_t> order;
  std::vector<uint8_t> own;  // devices, where there is no GPU
  uint8_t* devices = nullptr;
  std::vector<int64_t> makespan, excess;
  ThreadPool pool;
#if ORCHARD_HAVE_CUDA
  std::unique_ptr<uint8_t, FreePinned> pinned;
  std::unique_ptr<OnDevice> gpu;
#endif
};

BatchSimulator::BatchSimulator(const Problem& problem, int64_t blocks, int threads,
                               std::optional<int> cuda)
    : state_(std::make_unique<State>(problem, blocks, threads)) {
  const int64_t bytes = blocks * state_->graph.ops * kBatchLanes;
  if (!cuda) {
    state_->own.resize(static_cast<size_t>(bytes));
    state_->devices = state_->own.data();
    return;
  }
#if ORCHARD_HAVE_CUDA
  state_->gpu = std::make_unique<OnDevice>(state_->graph, blocks, state_->with_memory, *cuda);
  state_->pinned = Pinned(bytes);
  state_->devices = state_->pinned.get();
#else
  throw ResourceError("this build has no CUDA kernels", "", "use --device cpu");
#endif
}

BatchSimulator::~BatchSimulator() = default;

int64_t BatchSimulator::blocks() const { return state_->blocks; }

std::span<int32_t> BatchSimulator::Order(int64_t block) {
  return std::span(state_->order).subspan(block * state_->graph.ops, state_->graph.ops);
}

void BatchSimulator::OrderChanged() { state_->orders_sent = false; }

std::span<uint8_t> BatchSimulator::Devices(int64_t block) {
  const int64_t size = static_cast<int64_t>(state_->graph.ops) * kBatchLanes;
  return {state_->devices + block * size, static_cast<size_t>(size)};
}

std::span<const int64_t> BatchSimulator::makespan() const { return state_->makespan; }

std::span<const int64_t> BatchSimulator::excess() const { return state_->excess; }

void BatchSimulator::Run(int64_t blocks) {
  State& s = *state_;
#if ORCHARD_HAVE_CUDA
  if (s.gpu) {
    if (!s.orders_sent) s.gpu->SendOrders(s.order.data(), s.blocks);
    s.orders_sent = true;
    s.gpu->Run(s.devices, blocks, s.makespan.data(), s.excess.data());
    return;
  }
#endif
  BatchMemory memory;
  BatchArgs args = s.graph.Args(s.with_memory ? &memory : nullptr);
  args.blocks = blocks;
  args.order = s.order.data();
  args.device = s.devices;
  args.makespan = s.makespan.data();
  memory.excess = s.excess.data();
  BatchSimulate(args, s.pool);
}

}  // namespace orchard::place
