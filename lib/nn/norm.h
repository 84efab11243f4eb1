// LayerNorm and RMSNorm over rows of a matrix, on the CPU. The arguments are also those of the CUDA
// launchers (cuda/nn/norm.h).
#pragma once

#include <cstdint>

#include "base/half.h"

namespace orchard::nn {

enum class NormKind { kLayerNorm, kRmsNorm };

// y = normalised(x) (weight + offset) + bias, see norm_element.h.
struct NormForwardArgs {
  const char* name = "norm";  // what errors call it
  NormKind kind = NormKind::kLayerNorm;
  FloatType type = FloatType::kF32;         // of x and y
  FloatType weight_type = FloatType::kF32;  // of weight and bias: `type` or f32; f64 when `type` is
  int64_t rows = 0;
  int64_t columns = 0;
  double epsilon = 1e-5;
  double weight_offset = 0;      // 0, or 1 for gains stored as 1 + w
  const void* x = nullptr;       // [rows, columns]
  const void* weight = nullptr;  // [columns]
  const void* bias = nullptr;    // [columns] or null
  void* y = nullptr;             // [rows, columns]
  void* mean = nullptr;          // [rows], f32 or (for f64) f64; null for RMSNorm
  void* rstd = nullptr;          // [rows], as mean
};

// Gradients of y. Sums over rows are taken in a fixed order: in kNormPartials strided groups of
// rows, then over the groups.
struct NormBackwardArgs {
  const char* name = "norm";
  NormKind kind = NormKind::kLayerNorm;
  FloatType type = FloatType::kF32;
  FloatType weight_type = FloatType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  double weight_offset = 0;
  const void* dy = nullptr;      // [rows, columns]
  const void* x = nullptr;       // [rows, columns]
  const void* weight = nullptr;  // [columns]
  const void* mean = nullptr;    // [rows] of the forward pass; null for RMSNorm
  const void* rstd = nullptr;    // [rows] of the forward pass
  void* dx = nullptr;            // [rows, columns]
  void* dweight = nullptr;       // [columns] of weight_type
  void* dbias = nullptr;         // [columns] of weight_type, or null
  void* workspace = nullptr;     // NormBackwardWorkspace(...) bytes
};

inline constexpr int64_t kNormPartials = 512;

// Bytes of the partial sums of d weight and d bias.
inline int64_t NormBackwardWorkspace(int64_t rows, int64_t columns, FloatType type) {
  const int64_t partials = rows < kNormPartials ? rows : kNormPartials;
  return 2 * partials * columns * (type == FloatType::kF64 ? 8 : 4);
}

// Both use the threads of LibTorch's pool. Results do not depend on their number.
void NormForward(const NormForwardArgs& args);
void NormBackward(const NormBackwardArgs& args);

// Calls function(T{}, W{}) with the C++ types of x and of the weights.
template <class Function>
void DispatchNormTypes(FloatType type, FloatType weight_type, Function&& function) {
  DispatchFloat(type, [&](auto x) {
    if constexpr (sizeof(x) < sizeof(double)) {
      if (weight_type == FloatType::kF32) return function(x, float{});
    }
    return function(x, x);
  });
}

}  // namespace orchard::nn
