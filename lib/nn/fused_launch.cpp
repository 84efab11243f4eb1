#include "nn/fused_launch.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <string>

#include "base/error.h"

namespace orchard::nn {

bool HasKernels(const at::Tensor& x) {
#if ORCHARD_HAVE_CUDA
  if (x.is_cuda()) return true;
#endif
  return x.is_cpu();
}

FloatType FloatTypeOf(const at::Tensor& x, const char* operation, const char* argument) {
  switch (x.scalar_type()) {
    case at::kHalf:
      return FloatType::kF16;
    case at::kBFloat16:
      return FloatType::kBF16;
    case at::kFloat:
      return FloatType::kF32;
    case at::kDouble:
      return FloatType::kF64;
    default:
      break;
  }
  throw UsageError(std::string(operation) + ": dtype " + c10::toString(x.scalar_type()) +
                       " is not f16, bf16, f32 or f64",
                   argument);
}

at::ScalarType StatisticsType(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

void Require(bool ok, const char* operation, const char* argument, const char* what) {
  if (!ok) throw UsageError(std::string(operation) + ": " + what, argument);
}

void RequireLike(const at::Tensor& a, const at::Tensor& b, const char* operation,
                 const char* argument) {
  Require(b.sizes() == a.sizes(), operation, argument, "the shapes differ");
  Require(b.scalar_type() == a.scalar_type(), operation, argument, "the dtypes differ");
  Require(b.device() == a.device(), operation, argument, "the devices differ");
}

void RequireFirstOrder(const char* operation) {
  Require(!c10::GradMode::is_enabled(), operation, "backward",
          "the gradient of the fused form cannot be differentiated; use nn/composed_ops.h");
}

Stream CurrentStream(const at::Tensor& x) {
  const c10::impl::VirtualGuardImpl guard(x.device().type());
  return static_cast<Stream>(guard.getStream(x.device()).native_handle());
}

}  // namespace orchard::nn
