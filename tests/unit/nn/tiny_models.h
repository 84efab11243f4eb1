// Small random models in f64, one per architecture: sizes that differ from each other, weights
// large enough that every part of a model matters.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "arch/architecture.h"
#include "nn/initialise.h"
#include "nn/transformer.h"

namespace orchard::nn {

// config.json of a small model. Throws std::out_of_range for a type without one.
arch::Json TinyConfig(const std::string& model_type);
arch::Json Merge(arch::Json config, const std::string& more_json);

// The task that shows all of an architecture: next tokens, masked tokens, or 7 classes of images.
Task NaturalTask(const std::string& model_type);

Transformer TinyModel(const std::string& model_type, const arch::Json& config,
                      at::ScalarType dtype = at::kDouble);
Transformer TinyModel(const std::string& model_type);

// Two sequences of `length` tokens, or two images.
Batch TinyBatch(const Transformer& model, int64_t length = 9);

// The logits of whichever head the model has.
at::Tensor Logits(const ModelOutput& output);

double MaxDifference(const at::Tensor& a, const at::Tensor& b);

}  // namespace orchard::nn
