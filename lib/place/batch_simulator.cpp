#include "place/batch_simulator.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

#if ORCHARD_HAVE_CUDA
#include "cuda/base/device_memory.h"
#include "cuda/place/batch_simulate.h"
#endif

namespace orchard::place {

#if ORCHARD_HAVE_CUDA
namespace {

constexpr const char* kRoom = "device memory for candidate plans";

template <class T>
cuda::DeviceMemory<T> Allocate(int64_t count) {
  return cuda::AllocateOnDevice<T>(count, kRoom);
}

// The arrays of a graph on a device, and room for candidates and results.
class OnDevice {
 public:
  OnDevice(const BatchGraph& graph, int64_t blocks, bool with_memory, int device)
      : device_(device) {
    cuda::CheckCuda(cudaSetDevice(device), "CUDA device");
    cuda::CheckCuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    const int64_t lanes = blocks * kBatchLanes;
    order_ = Allocate<int32_t>(blocks * graph.ops);
    devices_ = Allocate<uint8_t>(lanes * graph.ops);
    end_ = Allocate<char>(lanes * graph.ops * (graph.wide ? 8 : 4));
    makespan_ = Allocate<int64_t>(lanes);
    args_ = graph.Args(&shared_, with_memory ? &memory_ : nullptr);
    args_.in_begin = Upload(graph.in_begin);
    args_.producer = Upload(graph.producer);
    args_.work = graph.wide ? static_cast<const void*>(Upload(graph.work64)) : Upload(graph.work32);
    args_.cost = graph.wide ? static_cast<const void*>(Upload(graph.cost64)) : Upload(graph.cost32);
    args_.order = order_.get();
    args_.device = devices_.get();
    args_.end = end_.get();
    args_.makespan = makespan_.get();
    if (args_.shared) UploadLinks(graph, lanes);
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
    cuda::CopyToDevice(order_.get(), order, blocks * args_.ops, stream_);
  }

  void Run(const uint8_t* devices, int64_t blocks, int64_t* makespan, int64_t* excess) {
    cuda::CheckCuda(cudaSetDevice(device_), "CUDA device");  // of this thread
    const int64_t lanes = blocks * kBatchLanes;
    cuda::CopyToDevice(devices_.get(), devices, lanes * args_.ops, stream_);
    args_.blocks = blocks;
    cuda::BatchSimulate(args_, stream_);
    cuda::CopyToHost(makespan, makespan_.get(), lanes, stream_);
    if (args_.memory) cuda::CopyToHost(excess, excess_.get(), lanes, stream_);
    cuda::CheckCuda(cudaStreamSynchronize(stream_), "simulating candidate plans");
  }

 private:
  void UploadLinks(const BatchGraph& graph, int64_t lanes) {
    shared_.use_begin = Upload(graph.first_use);
    shared_.use_end = Upload(graph.last_use);
    shared_.producer = Upload(graph.use_producer);
    shared_.reader = Upload(graph.use_reader);
    shared_.tensor = Upload(graph.use_tensor);
    shared_.inputs = Upload(graph.inputs);
    shared_.cost =
        graph.wide ? static_cast<const void*>(Upload(graph.use_cost64)) : Upload(graph.use_cost32);
    missing_ = Allocate<int32_t>(lanes * graph.ops);
    waiting_ = Allocate<int32_t>(lanes * shared_.uses);
    sent_ = Allocate<uint32_t>(lanes * shared_.tensors);
    shared_.missing = missing_.get();
    shared_.waiting = waiting_.get();
    shared_.sent = sent_.get();
  }

  template <class T>
  const T* Upload(const std::vector<T>& values) {
    return constants_.Upload(values, kRoom, stream_);
  }

  int device_;
  cudaStream_t stream_ = nullptr;
  BatchArgs args_;
  BatchLinks shared_;
  BatchMemory memory_;
  cuda::DeviceConstants constants_;
  cuda::DeviceMemory<int32_t> order_;
  cuda::DeviceMemory<uint8_t> devices_;
  cuda::DeviceMemory<char> end_;
  cuda::DeviceMemory<int64_t> makespan_, excess_;
  cuda::DeviceMemory<uint32_t> readers_, sent_;
  cuda::DeviceMemory<int32_t> missing_, waiting_;
};

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
  cuda::PinnedMemory<uint8_t> pinned;
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
  state_->pinned = cuda::AllocatePinned<uint8_t>(bytes, "pinned memory for candidate plans");
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
  BatchLinks shared;
  BatchMemory memory;
  BatchArgs args = s.graph.Args(&shared, s.with_memory ? &memory : nullptr);
  args.blocks = blocks;
  args.order = s.order.data();
  args.device = s.devices;
  args.makespan = s.makespan.data();
  memory.excess = s.excess.data();
  BatchSimulate(args, s.pool);
}

}  // namespace orchard::place
