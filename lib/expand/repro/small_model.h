// Small random models of any architecture, and how much two models' outputs differ. The comparison
// runs both forward passes as a whole: it shares no code with `verify`, which goes layer by layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>

#include "arch/architecture.h"
#include "expand/options.h"
#include "nn/initialise.h"
#include "nn/transformer.h"

namespace orchard::expand::repro {

// Standard deviations of what is added to a model's initial values, so that every part of it
// matters: gains away from 1, biases away from 0.
struct Spread {
  double matrices = 0.3, gains = 0.3, biases = 0.3;
};

// LibTorch works with one thread while this lives: small models only lose time to more.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Writes a Hugging Face directory in f64 with the head that shows all of the model: next tokens,
// masked tokens, or 7 classes of images. Values are keyed by `seed`.
void WriteSmallModel(const std::filesystem::path& directory, const arch::Json& config,
                     const Spread& spread, uint64_t seed);

// Grows SRC into DST. Throws as `MakePlan` and `ExpandModel`.
void Expand(const std::filesystem::path& source, const std::filesystem::path& destination,
            const TargetOptions& target, const MethodOptions& method, uint64_t seed);

// Two sequences of `length` random tokens, or two random images, for this model.
nn::Batch RandomBatch(const nn::TransformerConfig& config, int64_t length, uint64_t seed);
nn::Batch RandomImages(int64_t channels, int64_t height, int64_t width, uint64_t seed);

// Logits of tokens or classes, whichever there are, computed in `dtype`.
at::Tensor Logits(const std::filesystem::path& model, const nn::Batch& batch, at::ScalarType dtype);
at::Tensor Logits(const nn::Transformer& model, const nn::Batch& batch);

// max |b - a| / max |a|.
double RelativeDifference(const at::Tensor& a, const at::Tensor& b);

}  // namespace orchard::expand::repro
