// The layers that the generated models are made of, with their arithmetic, parameters and what
// their backward passes need. Images are [N, C, H, W]; sequences [..., width].
#pragma once

#include <string>
#include <vector>

#include "place/models/model_builder.h"

namespace orchard::place {

// Kernel and stride of a convolution or pooling; `pad` on every side.
struct Window {
  int64_t height = 1, width = 1;
  int64_t stride = 1;
  int64_t pad_height = 0, pad_width = 0;
};
inline Window Square(int64_t size, int64_t stride = 1, int64_t pad = 0) {
  return {size, size, stride, pad, pad};
}

// 2 N Co Ho Wo Ci kh kw operations; without bias.
Value Conv2d(ModelBuilder& builder, const std::string& name, const Value& x, int64_t channels,
             const Window& window);
// Scale and offset per channel. Running statistics are not counted.
Value BatchNorm(ModelBuilder& builder, const std::string& name, const Value& x);
Value MaxPool(ModelBuilder& builder, const std::string& name, const Value& x, const Window& window);
Value AvgPool(ModelBuilder& builder, const std::string& name, const Value& x, const Window& window);
// Along `axis`, 0 the first.
Value Concat(ModelBuilder& builder, const std::string& name, const std::vector<Value>& parts,
             size_t axis);

// 2 rows in out operations.
Value Linear(ModelBuilder& builder, const std::string& name, const Value& x, int64_t out,
             bool bias);
// 2 rows in out operations with weights [in, out] that are a variable.
Value MatMul(ModelBuilder& builder, const std::string& name, const Value& x, const Value& weights);
// 2 (elements of the output) `inner` operations on two activations.
Value BatchMatMul(ModelBuilder& builder, const std::string& name, const Value& a, const Value& b,
                  const Dims& output, int64_t inner);
// Rows of an own table. Reads only the rows that it needs.
Value Embedding(ModelBuilder& builder, const std::string& name, const Value& ids, int64_t rows,
                int64_t width);
Value LayerNorm(ModelBuilder& builder, const std::string& name, const Value& x);
Value Softmax(ModelBuilder& builder, const std::string& name, const Value& x);
// Its mask takes a byte per element.
Value Dropout(ModelBuilder& builder, const std::string& name, const Value& x);

// One operation per element.
Value Activation(ModelBuilder& builder, const std::string& name, const std::string& type,
                 const Value& x);
Value Plus(ModelBuilder& builder, const std::string& name, const std::vector<Value>& terms);
Value Times(ModelBuilder& builder, const std::string& name, const Value& a, const Value& b);
// Mean cross entropy of [rows, classes] against `labels`: a scalar.
Value CrossEntropy(ModelBuilder& builder, const std::string& name, const Value& logits,
                   const Value& labels);

// Multi-head attention with residual connection and normalisation, as published with the
// Transformer; projections without bias. `memory` is what keys and values are made of.
Value AttentionBlock(ModelBuilder& builder, const std::string& name, const Value& x,
                     const Value& memory, int64_t heads);

}  // namespace orchard::place
