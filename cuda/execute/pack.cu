// Many small tensors into one buffer, or out of it, in one launch.
//
// blockIdx.y is the tensor, and the blocks of a row walk over its 16-byte words, so neighbouring
// threads touch neighbouring words. Bytes: each payload byte is read once and written once. The
// table of tensors travels as a launch argument (1.6 KB), so no copy precedes the launch.
#include <cuda_runtime.h>

#include "cuda/execute/pack.h"
#include "execute/pack_element.h"

namespace orchard::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) PackKernel(execute::PackArgs args) {
  const execute::PackItem item = args.items[blockIdx.y];
  const bool aligned = reinterpret_cast<uintptr_t>(item.tensor) % 16 == 0;
  const int64_t words = (item.bytes + 15) / 16, stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < words;
       i += stride) {
    execute::CopyWord(item, args.buffer, i, args.unpack, aligned);
  }
}

}  // namespace

void Pack(const execute::PackArgs& args, cudaStream_t stream) {
  execute::CheckPack(args);
  int64_t largest = 0;
  for (int k = 0; k < args.count; ++k)
    largest = args.items[k].bytes > largest ? args.items[k].bytes : largest;
  if (largest == 0) return;
  const int per_tensor = GridSize((largest + 15) / 16, kThreads);
  const dim3 grid(static_cast<unsigned>(per_tensor), static_cast<unsigned>(args.count));
  PackKernel<<<grid, kThreads, 0, stream>>>(args);
  CheckLaunch("Pack", "");
}

}  // namespace orchard::cuda
