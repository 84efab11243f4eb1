// Computing in 16 bits beside f32 weights.
//
// bf16 has the range of f32 and needs nothing else. Gradients in fp16 would vanish below 6e-8, so
// the loss is multiplied by a power of two before the backward pass: as large a one as leaves all
// gradients finite, found by trying. Source: Micikevicius et al., Mixed Precision Training, 2018.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

#include "segment/amp.h"

namespace orchard::segment {

// Throws UsageError for fp16 on the CPU, whose convolutions have no kernels for it.
at::ScalarType ComputeType(Amp amp, c10::Device device);

// The factor of the loss. Every rank sees the same gradients, and so keeps the same factor.
class LossScale {
 public:
  // Only fp16 is scaled; for other types the factor is 1 for ever.
  explicit LossScale(at::ScalarType compute);

  bool active() const { return active_; }
  double factor() const { return factor_; }
  int64_t good_steps() const { return good_steps_; }  // since the last change
  void Restore(double factor, int64_t good_steps);

  // After a step that changed the weights: doubles the factor now and then.
  void Succeeded();
  // After gradients that were not finite: halves it. False when the factor was 1 or less already:
  // then it is not the factor that makes them so.
  bool Shrink();

 private:
  bool active_;
  double factor_;
  int64_t good_steps_ = 0;
};

}  // namespace orchard::segment
