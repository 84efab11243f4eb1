// A network that gives logits over classes, of images or of the next token of a text: what
// data-parallel training has to know of its model.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/parameters.h"

namespace orchard::nn {

class Classifier {
 public:
  virtual ~Classifier() = default;

  // To logits [rows, classes], one row per prediction. With `training` batch norms use the batch's
  // statistics and move the running ones.
  virtual at::Tensor Forward(const at::Tensor& inputs, bool training) const = 0;

  // Weights, and running statistics, which are `measured`. A tensor that is used twice is there
  // once.
  virtual const Parameters& parameters() const = 0;
};

}  // namespace orchard::nn
