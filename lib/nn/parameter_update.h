// One step of AdamW or SGD over a list of tensors on the CPU. The arguments are also those of a
// CUDA launcher; there the pointers are device pointers. C++17, because .cu files read it.
//
// A step is one pass over memory. AdamW in f32 moves 28 bytes per element (weight, two moments:
// read and written; gradient: read), in bf16 with an f32 master as much (26 + 2), and 8 more with
// averaging.
#pragma once

#include <cstdint>

#include "base/half.h"
#include "nn/adamw_element.h"

namespace orchard::nn {

// A tensor and its state. With T the type and C = float (double for F64):
struct TensorUpdate {
  const char* name = "";             // for errors
  FloatType type = FloatType::kF32;  // T
  int64_t count = 0;
  void* value = nullptr;           // [count] T
  const void* gradient = nullptr;  // [count] T
  void* master =
      nullptr;  // [count] C for 16-bit T, which computes on it and rounds into `value`; else null
  void* first = nullptr;    // [count] C: AdamW's first moment, SGD's momentum buffer
  void* second = nullptr;   // [count] C: AdamW's second moment
  void* average = nullptr;  // [count] C, or null for none
  double learning_rate = 0;
  double weight_decay = 0;
  int64_t step = 1;  // number of this update of this tensor, from 1
};

struct UpdateArgs {
  const TensorUpdate* tensors = nullptr;
  int64_t tensor_count = 0;
  const double* gradient_scale =
      nullptr;  // multiplies every gradient; where the tensors are (host or device)
  double average_decay = 0;
};

struct AdamWArgs : UpdateArgs {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

struct SgdArgs : UpdateArgs {
  double momentum = 0;
  bool nesterov = false;
};

template <class C>
AdamWScalars<C> MakeScalars(const AdamWArgs& args, const TensorUpdate& t, double gradient_scale) {
  const double step = static_cast<double>(t.step);
  const double correction1 = 1 - std::pow(args.beta1, step);
  const double correction2 = 1 - std::pow(args.beta2, step);
  return {static_cast<C>(gradient_scale),
          static_cast<C>(1 - t.learning_rate * t.weight_decay),
          static_cast<C>(args.beta1),
          static_cast<C>(1 - args.beta1),
          static_cast<C>(args.beta2),
          static_cast<C>(1 - args.beta2),
          static_cast<C>(t.learning_rate / correction1),
          static_cast<C>(1 / std::sqrt(correction2)),
          static_cast<C>(args.epsilon)};
}

template <class C>
SgdScalars<C> MakeScalars(const SgdArgs& args, const TensorUpdate& t, double gradient_scale) {
  return {static_cast<C>(gradient_scale), static_cast<C>(t.weight_decay),
          static_cast<C>(args.momentum), static_cast<C>(t.learning_rate), args.nesterov};
}

// All of them use the threads of LibTorch's pool; results do not depend on their number.
void AdamW(const AdamWArgs& args);
void Sgd(const SgdArgs& args);

// Sum over all tensors of gradient^2, in double: chunks of fixed size, added in order.
double SumOfSquares(const TensorUpdate* tensors, int64_t tensor_count);

}  // namespace orchard::nn
