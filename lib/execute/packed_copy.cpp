#include "execute/packed_copy.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "execute/pack.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/execute/pack.h"
#endif

namespace orchard::execute {
namespace {

constexpr size_t kLeast = 4;
constexpr int64_t kSmall = 1 << 16;

// On the current stream of the buffer's device.
void PackOn(const at::Tensor& buffer, PackArgs& args) {
  args.buffer = buffer.data_ptr();
#if ORCHARD_HAVE_CUDA
  if (buffer.is_cuda()) {
    const c10::DeviceGuard guard(buffer.device());
    const c10::Stream stream = c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(buffer.device());
    return cuda::Pack(args, static_cast<cudaStream_t>(stream.native_handle()));
  }
#endif
  Pack(args);
}

// Gathers or scatters in groups of kPackMost. Returns the size of the buffer.
template <class Use>
int64_t ForGroups(const std::vector<at::Tensor>& tensors, bool unpack, const Use& use) {
  int64_t end = 0;
  PackArgs args;
  args.unpack = unpack;
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    AddToPack(args, tensor.data_ptr(), static_cast<int64_t>(tensor.nbytes()), end);
    if (args.count < kPackMost) continue;
    use(args);
    args.count = 0;
  }
  if (args.count > 0) use(args);
  return end;
}

}  // namespace

bool WorthPacking(const std::vector<at::Tensor>& tensors, c10::Device to) {
#if ORCHARD_HAVE_CUDA
  const auto small = [&](const at::Tensor& t) {
    return !t.defined() || (t.is_cuda() && static_cast<int64_t>(t.nbytes()) <= kSmall &&
                            t.is_non_overlapping_and_dense());
  };
  const auto defined = std::count_if(tensors.begin(), tensors.end(),
                                     [](const at::Tensor& t) { return t.defined(); });
  return to.is_cuda() && static_cast<size_t>(defined) >= kLeast &&
         std::all_of(tensors.begin(), tensors.end(), small);
#else
  return tensors.empty() && to.is_cuda();
#endif
}

std::vector<at::Tensor> PackedCopy(const std::vector<at::Tensor>& tensors, c10::Device to) {
  const int64_t bytes = ForGroups(tensors, false, [](const PackArgs&) {});
  c10::Device from = to;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) from = tensor.device();
  }
  const at::Tensor packed = at::empty({bytes}, at::TensorOptions(at::kByte).device(from));
  ForGroups(tensors, false, [&](PackArgs& args) { PackOn(packed, args); });
  const at::Tensor arrived = at::empty({bytes}, at::TensorOptions(at::kByte).device(to));
  arrived.copy_(packed, /*non_blocking=*/true);
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : tensors) {
    copies.emplace_back();
    if (tensor.defined()) copies.back() = at::empty_like(tensor, tensor.options().device(to));
  }
  ForGroups(copies, true, [&](PackArgs& args) { PackOn(arrived, args); });
  return copies;
}

}  // namespace orchard::execute
