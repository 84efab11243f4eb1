#include "comm/device_ranks.h"

#include "base/error.h"

#if ORCHARD_HAVE_CUDA

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "comm/nccl_communicator.h"
#include "comm/staged_communicator.h"

namespace orchard::comm {
namespace {

void Check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it
  throw ResourceError(cudaGetErrorString(status), call);
}

class PinnedStage : public HostStage {
 public:
  PinnedStage(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
  void* Allocate(int64_t bytes) override {
    void* host = nullptr;
    Check(cudaSetDevice(device_), "cudaSetDevice");
    Check(cudaMallocHost(&host, static_cast<size_t>(bytes)), "cudaMallocHost");
    return host;
  }
  void Free(void* host) override { cudaFreeHost(host); }
  void ToHost(void* host, const void* device, int64_t bytes) override {
    Copy(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  void ToDevice(void* device, const void* host, int64_t bytes) override {
    Copy(device, host, bytes, cudaMemcpyHostToDevice);
  }

 private:
  void Copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
    Check(cudaSetDevice(device_), "cudaSetDevice");
    Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream_), "cudaMemcpyAsync");
    Check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  int device_;
  cudaStream_t stream_;
};

// Whether NCCL can serve these ranks: it wants a GPU for each.
bool NcclServes(Communicator& ranks, int device) {
  // The GPU's UUID, and whether this rank has the library.
  constexpr size_t kUuid = 16, kBytes = kUuid + 1;
  cudaDeviceProp properties{};
  Check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  static_assert(sizeof properties.uuid == kUuid);
  std::array<std::byte, kBytes> own{};
  std::memcpy(own.data(), &properties.uuid, kUuid);
  own[kUuid] = static_cast<std::byte>(HaveNccl());
  std::vector<std::byte> all(kBytes * static_cast<size_t>(ranks.size()));
  const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), kBytes);
  ranks.AllGather(std::span<const std::byte>(own), std::span<std::byte>(all), counts);
  for (size_t a = 0; a < all.size(); a += kBytes) {
    if (all[a + kUuid] == std::byte{0}) return false;
    for (size_t b = 0; b < a; b += kBytes) {
      if (std::equal(&all[a], &all[a] + kUuid, &all[b])) return false;
    }
  }
  return true;
}

}  // namespace

std::unique_ptr<Communicator> OpenDeviceRanks(Communicator& bootstrap, int device, void* stream) {
  if (NcclServes(bootstrap, device)) return OpenNccl(bootstrap, device, stream);
  return StageThroughHost(bootstrap,
                          std::make_shared<PinnedStage>(device, static_cast<cudaStream_t>(stream)));
}

std::unique_ptr<StreamCommunicator> OpenNcclBeside(Communicator& bootstrap, int device,
                                                   void* stream) {
  if (!NcclServes(bootstrap, device)) return nullptr;
  return OpenNccl(bootstrap, device, stream, StreamOrder::kBeside);
}

}  // namespace orchard::comm

#else

namespace orchard::comm {

std::unique_ptr<Communicator> OpenDeviceRanks(Communicator&, int, void*) {
  throw ResourceError("this build has no CUDA", "", "build where nvcc is installed");
}

std::unique_ptr<StreamCommunicator> OpenNcclBeside(Communicator&, int, void*) { return nullptr; }

}  // namespace orchard::comm

#endif
