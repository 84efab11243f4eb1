// Between tensors and kernels: dtypes, argument checks, and the choice of the CUDA launcher or the
// CPU twin. Internal to fused_*.cpp.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <optional>
#include <type_traits>

#include "base/half.h"

struct CUstream_st;

namespace orchard::nn {

using Stream = CUstream_st*;  // cudaStream_t, by its own declaration

// ORCHARD_KERNEL(Name): the launcher orchard::cuda::Name, or null where no kernels are compiled in.
#if ORCHARD_HAVE_CUDA
#define ORCHARD_KERNEL(name) &::orchard::cuda::name
#else
#define ORCHARD_KERNEL(name) nullptr
#endif

// Whether kernels or twins can take this tensor: on the CPU always, on CUDA where kernels are
// compiled in.
bool HasKernels(const at::Tensor& x);

// The buffer type of a tensor. Throws UsageError naming `argument` when its dtype is not f16, bf16,
// f32 or f64.
FloatType FloatTypeOf(const at::Tensor& x, const char* operation, const char* argument);

// The dtype of sums and statistics beside x: f64 for f64, else f32.
at::ScalarType StatisticsType(const at::Tensor& x);

// Throws UsageError "<operation>: <what>" naming `argument`.
void Require(bool ok, const char* operation, const char* argument, const char* what);

// Throws UsageError naming `argument` unless `b` has the shape, dtype and device of `a`.
void RequireLike(const at::Tensor& a, const at::Tensor& b, const char* operation,
                 const char* argument);

// Throws UsageError inside a backward pass that is itself recorded: the gradients of kernels have
// no gradient.
void RequireFirstOrder(const char* operation);

// A tensor that may be absent, as autograd functions take it: they accept nullopt but no undefined
// tensor.
inline std::optional<at::Tensor> Optional(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}

// The stream on which LibTorch enqueues this thread's work for x's device.
Stream CurrentStream(const at::Tensor& x);

// Runs `gpu` on the current stream of x's device, or `cpu`.
template <class Args>
void Launch(const at::Tensor& x, const Args& args, void (*cpu)(const Args&),
            std::type_identity_t<void (*)(const Args&, Stream)> gpu) {
  if (x.is_cpu()) return cpu(args);
  const c10::DeviceGuard guard(x.device());
  gpu(args, CurrentStream(x));
}

}  // namespace orchard::nn
