#include "comm/nccl_communicator.h"

#include <cstdlib>

#include "base/error.h"

#ifdef ORCHARD_HAVE_NCCL

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <nccl.h>
#include <sched.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "comm/traffic.h"

namespace orchard::comm {
namespace {

// The functions of libnccl.so.2 that are used here.
struct NcclLibrary {
  void* handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  decltype(&ncclGetErrorString) error_string =
      Load<decltype(&ncclGetErrorString)>("ncclGetErrorString");
  decltype(&ncclGetUniqueId) unique_id = Load<decltype(&ncclGetUniqueId)>("ncclGetUniqueId");
  decltype(&ncclCommInitRank) init = Load<decltype(&ncclCommInitRank)>("ncclCommInitRank");
  decltype(&ncclCommDestroy) destroy = Load<decltype(&ncclCommDestroy)>("ncclCommDestroy");
  decltype(&ncclCommAbort) abort = Load<decltype(&ncclCommAbort)>("ncclCommAbort");
  decltype(&ncclCommGetAsyncError) async_error =
      Load<decltype(&ncclCommGetAsyncError)>("ncclCommGetAsyncError");
  decltype(&ncclAllReduce) all_reduce = Load<decltype(&ncclAllReduce)>("ncclAllReduce");
  decltype(&ncclReduce) reduce = Load<decltype(&ncclReduce)>("ncclReduce");
  decltype(&ncclBroadcast) broadcast = Load<decltype(&ncclBroadcast)>("ncclBroadcast");
  decltype(&ncclGroupStart) group_start = Load<decltype(&ncclGroupStart)>("ncclGroupStart");
  decltype(&ncclGroupEnd) group_end = Load<decltype(&ncclGroupEnd)>("ncclGroupEnd");

  bool complete() const {
    return error_string && unique_id && init && destroy && abort && async_error && all_reduce &&
           reduce && broadcast && group_start && group_end;
  }

 private:
  template <class F>
  F Load(const char* name) {
    return handle == nullptr ? nullptr : reinterpret_cast<F>(dlsym(handle, name));
  }
};

ncclDataType_t TypeOf(io::DType dtype) {
  switch (dtype) {
    case io::DType::kF32:
      return ncclFloat32;
    case io::DType::kF64:
      return ncclFloat64;
    case io::DType::kBF16:
      return ncclBfloat16;
    case io::DType::kF16:
      return ncclFloat16;
    case io::DType::kI8:
      return ncclInt8;
    default:
      return ncclUint8;
  }
}

void CheckCuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw ResourceError(cudaGetErrorString(error), what);
}

// A place in a stream.
class Event {
 public:
  Event() {
    CheckCuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void Record(cudaStream_t stream) {
    CheckCuda(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  void Block(cudaStream_t stream) const {
    CheckCuda(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class NcclCommunicator : public StreamCommunicator {
 public:
  NcclCommunicator(Communicator& bootstrap, int device, cudaStream_t stream, StreamOrder order)
      : StreamCommunicator(bootstrap.rank(), bootstrap.size()),
        bootstrap_(bootstrap),
        device_(device),
        callers_(stream),
        order_(order),
        stream_(stream) {
    if (!nccl_.complete()) {
      throw ResourceError("NCCL cannot be loaded", "libnccl.so.2",
                          "install NCCL, or add its folder to LD_LIBRARY_PATH");
    }
    ncclUniqueId id{};
    if (rank() == 0) Check(nccl_.unique_id(&id), "ncclGetUniqueId");
    bootstrap.Broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    CheckCuda(cudaSetDevice(device), "cudaSetDevice");
    Check(nccl_.init(&comm_, size(), id, rank()), "ncclCommInitRank");
    if (order_ == StreamOrder::kBeside) {
      // Not blocked by the default stream, and ahead of kernels that are ready at the same time.
      int least = 0, greatest = 0;
      CheckCuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "stream priorities");
      CheckCuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest),
                "cudaStreamCreate");
    }
  }
  // Destroying waits for what is on its way, which never ends when a rank has failed.
  ~NcclCommunicator() override {
    const bool broken = failed_ || std::uncaught_exceptions() > 0;
    if (comm_ != nullptr) broken ? nccl_.abort(comm_) : nccl_.destroy(comm_);
    if (order_ == StreamOrder::kBeside && stream_ != callers_) cudaStreamDestroy(stream_);
  }
  std::string_view engine() const override { return "NCCL"; }
  void Synchronize() override {
    if (order_ == StreamOrder::kBeside) WaitOnHost();
  }

  std::unique_ptr<Communicator> Split(int color) override {
    Count(Operation::kSplit, 0, 0);
    std::unique_ptr<Communicator> part = bootstrap_.Split(color);
    auto result = std::make_unique<NcclCommunicator>(*part, device_, callers_, order_);
    result->owned_bootstrap_ = std::move(part);
    return result;
  }

 protected:
  Handle Start(Collective call) override {
    const Traffic t = TrafficOf(call, size(), rank(), {});
    Count(call.operation, t.sent, t.received);
    CheckCuda(cudaSetDevice(device_), "cudaSetDevice");  // of this thread, which may be autograd's
    if (order_ == StreamOrder::kOn) {
      Enqueue(call);
      return Handle([this] { WaitOnHost(); });
    }
    Event begin;  // a stream that waits for it has taken note: it may go
    begin.Record(callers_);
    begin.Block(stream_);
    Enqueue(call);
    const auto end = std::make_shared<Event>();
    end->Record(stream_);
    return Handle([this, end] { end->Block(callers_); });
  }

 private:
  void Enqueue(const Collective& call) {
    const ncclDataType_t type = TypeOf(call.in.dtype);
    switch (call.operation) {
      case Operation::kAllReduce:
        return Check(nccl_.all_reduce(call.in.data, call.out.data, call.in.count, type, ncclSum,
                                      comm_, stream_),
                     "ncclAllReduce");
      case Operation::kReduceScatter:
        return ReduceScatter(call, type);
      case Operation::kAllGather:
        return AllGather(call, type);
      case Operation::kBroadcast:
        return Check(nccl_.broadcast(call.in.data, call.out.data, call.in.count, type, call.root,
                                     comm_, stream_),
                     "ncclBroadcast");
      case Operation::kBarrier:
        return bootstrap_.Barrier();
      case Operation::kSplit:
        return;
    }
  }

  // Chunks may differ in size, which ncclReduceScatter does not know: one reduction per rank,
  // grouped into one launch.
  void ReduceScatter(const Collective& call, ncclDataType_t type) {
    if (call.in.dtype != call.out.dtype) {
      throw Error(ExitCode::kInternal, "NCCL does not widen sums", "reduce-scatter");
    }
    const int64_t element = ElementSize(call.in.dtype);
    Check(nccl_.group_start(), "ncclGroupStart");
    for (int r = 0; r < size(); ++r) {
      const Range chunk = ChunkOf(call.in.count, size(), r);
      Check(nccl_.reduce(call.in.data + chunk.begin * element, call.out.data, chunk.size(), type,
                         ncclSum, r, comm_, stream_),
            "ncclReduce");
    }
    Check(nccl_.group_end(), "ncclGroupEnd");
  }

  void AllGather(const Collective& call, ncclDataType_t type) {
    const int64_t element = ElementSize(call.out.dtype);
    int64_t offset = 0;
    Check(nccl_.group_start(), "ncclGroupStart");
    for (int r = 0; r < size(); ++r) {
      Check(nccl_.broadcast(call.in.data, call.out.data + offset * element, call.counts[r], type, r,
                            comm_, stream_),
            "ncclBroadcast");
      offset += call.counts[r];
    }
    Check(nccl_.group_end(), "ncclGroupEnd");
  }

  // Polls instead of blocking in the driver, so that a failed peer ends the wait.
  void WaitOnHost() {
    while (true) {
      const cudaError_t status = cudaStreamQuery(stream_);
      if (status == cudaSuccess) return;
      if (status != cudaErrorNotReady) CheckCuda(status, "cudaStreamQuery");
      ncclResult_t error = ncclSuccess;
      Check(nccl_.async_error(comm_, &error), "ncclCommGetAsyncError");
      Check(error, "NCCL collective");
      sched_yield();
    }
  }

  void Check(ncclResult_t result, const char* what) {
    if (result == ncclSuccess) return;
    failed_ = true;
    throw PeerError(nccl_.error_string(result), what);
  }

  NcclLibrary nccl_;
  Communicator& bootstrap_;
  std::unique_ptr<Communicator> owned_bootstrap_;
  int device_;
  cudaStream_t callers_;
  StreamOrder order_;
  cudaStream_t stream_;  // of the collectives
  ncclComm_t comm_ = nullptr;
  bool failed_ = false;
};

}  // namespace

bool HaveNccl() { return NcclLibrary().complete(); }

std::unique_ptr<StreamCommunicator> OpenNccl(Communicator& bootstrap, int device, void* stream,
                                             StreamOrder order) {
  return std::make_unique<NcclCommunicator>(bootstrap, device, static_cast<cudaStream_t>(stream),
                                            order);
}

}  // namespace orchard::comm

#else

namespace orchard::comm {

bool HaveNccl() { return false; }

std::unique_ptr<StreamCommunicator> OpenNccl(Communicator&, int, void*, StreamOrder) {
  throw ResourceError("this build has no NCCL", "", "build where nccl.h and CUDA are installed");
}

}  // namespace orchard::comm

#endif

namespace orchard::comm {

int LocalRank() {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

}  // namespace orchard::comm
