// Bias + activation, and gated activations, on the CPU. The arguments are also those of the CUDA
// launchers (cuda/nn/activation.h).
#pragma once

#include <cstdint>

#include "base/half.h"
#include "nn/activation_kind.h"

namespace orchard::nn {

// y = activation(x + bias).
struct BiasActivationForwardArgs {
  const char* name = "activation";  // what errors call it
  Activation activation = Activation::kGelu;
  FloatType type = FloatType::kF32;  // of every buffer
  int64_t rows = 0;
  int64_t columns = 0;
  const void* x = nullptr;     // [rows, columns]
  const void* bias = nullptr;  // [columns] or null
  void* y = nullptr;           // [rows, columns]
};

// dx = dy activation'(x + bias);  dbias = sum of dx over the rows, taken in blocks of kBiasRows
// rows in order.
struct BiasActivationBackwardArgs {
  const char* name = "activation";
  Activation activation = Activation::kGelu;
  FloatType type = FloatType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  const void* dy = nullptr;    // [rows, columns]
  const void* x = nullptr;     // [rows, columns]
  const void* bias = nullptr;  // [columns] or null
  void* dx = nullptr;          // [rows, columns]
  void* dbias = nullptr;       // [columns], or null: not wanted
  void* workspace = nullptr;   // BiasActivationWorkspace(...) bytes when dbias is wanted
};

inline constexpr int64_t kBiasRows = 64;

inline int64_t BiasActivationWorkspace(int64_t rows, int64_t columns, FloatType type) {
  return (rows + kBiasRows - 1) / kBiasRows * columns * (type == FloatType::kF64 ? 8 : 4);
}

// y = activation(gate) * up, elementwise.
struct GatedForwardArgs {
  const char* name = "gate";
  Activation activation = Activation::kSilu;
  FloatType type = FloatType::kF32;
  int64_t count = 0;  // elements
  const void* gate = nullptr;
  const void* up = nullptr;
  void* y = nullptr;
};

// dgate = dy up activation'(gate);  dup = dy activation(gate).
struct GatedBackwardArgs {
  const char* name = "gate";
  Activation activation = Activation::kSilu;
  FloatType type = FloatType::kF32;
  int64_t count = 0;
  const void* dy = nullptr;
  const void* gate = nullptr;
  const void* up = nullptr;
  void* dgate = nullptr;
  void* dup = nullptr;
};

// All use the threads of LibTorch's pool. Results do not depend on their number.
void BiasActivationForward(const BiasActivationForwardArgs& args);
void BiasActivationBackward(const BiasActivationBackwardArgs& args);
void GatedForward(const GatedForwardArgs& args);
void GatedBackward(const GatedBackwardArgs& args);

}  // namespace orchard::nn
