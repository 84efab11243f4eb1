#include "place/models/layers.h"

#include <algorithm>

namespace orchard::place {
namespace {

constexpr double kNormFlops = 5;  // per element, of a normalisation or a softmax
constexpr int64_t kFloatBytes = 4, kIndexBytes = 8;

double Count(int64_t n) { return static_cast<double>(n); }

int64_t Slid(int64_t size, int64_t window, int64_t stride, int64_t pad) {
  return (size + 2 * pad - window) / stride + 1;
}

Dims SlidOver(const Value& x, int64_t channels, const Window& w) {
  return {x.dims[0], channels, Slid(x.dims[2], w.height, w.stride, w.pad_height),
          Slid(x.dims[3], w.width, w.stride, w.pad_width)};
}

Dims WithLast(const Value& x, int64_t last) {
  Dims dims = x.dims;
  dims.back() = last;
  return dims;
}

}  // namespace

Value Conv2d(ModelBuilder& builder, const std::string& name, const Value& x, int64_t channels,
             const Window& window) {
  const Dims output = SlidOver(x, channels, window);
  const int64_t taps = x.dims[1] * window.height * window.width;
  return builder.Add({.name = name,
                      .type = "Conv2D",
                      .flops = 2 * Count(Elements(output)) * Count(taps),
                      .parameters = channels * taps,
                      .outputs = {output},
                      .dense = true,
                      .keeps_inputs = true},
                     {x});
}

Value BatchNorm(ModelBuilder& builder, const std::string& name, const Value& x) {
  return builder.Add({.name = name,
                      .type = "BatchNorm",
                      .flops = kNormFlops * Count(x.elements()),
                      .parameters = 2 * x.dims[1],
                      .outputs = {x.dims},
                      .keeps_inputs = true,
                      .kept = 2 * x.dims[1] * kFloatBytes},
                     {x});
}

Value MaxPool(ModelBuilder& builder, const std::string& name, const Value& x,
              const Window& window) {
  const Dims output = SlidOver(x, x.dims[1], window);
  return builder.Add({.name = name,
                      .type = "MaxPool",
                      .flops = Count(Elements(output) * window.height * window.width),
                      .outputs = {output},
                      .kept = Elements(output) * kIndexBytes},
                     {x});
}

Value AvgPool(ModelBuilder& builder, const std::string& name, const Value& x,
              const Window& window) {
  const Dims output = SlidOver(x, x.dims[1], window);
  return builder.Add({.name = name,
                      .type = "AvgPool",
                      .flops = Count(Elements(output) * window.height * window.width),
                      .outputs = {output}},
                     {x});
}

Value Concat(ModelBuilder& builder, const std::string& name, const std::vector<Value>& parts,
             size_t axis) {
  Dims output = parts[0].dims;
  for (size_t k = 1; k < parts.size(); ++k) output[axis] += parts[k].dims[axis];
  return builder.Add({.name = name, .type = "Concat", .outputs = {output}}, parts);
}

Value Linear(ModelBuilder& builder, const std::string& name, const Value& x, int64_t out,
             bool bias) {
  const int64_t in = x.dims.back();
  return builder.Add({.name = name,
                      .type = "Linear",
                      .flops = 2 * Count(x.elements()) * Count(out),
                      .parameters = in * out + (bias ? out : 0),
                      .outputs = {WithLast(x, out)},
                      .dense = true,
                      .keeps_inputs = true},
                     {x});
}

Value MatMul(ModelBuilder& builder, const std::string& name, const Value& x, const Value& weights) {
  const int64_t out = weights.dims.back();
  return builder.Add({.name = name,
                      .type = "MatMul",
                      .flops = 2 * Count(x.elements()) * Count(out),
                      .outputs = {WithLast(x, out)},
                      .dense = true,
                      .keeps_inputs = true},
                     {x, weights});
}

Value BatchMatMul(ModelBuilder& builder, const std::string& name, const Value& a, const Value& b,
                  const Dims& output, int64_t inner) {
  return builder.Add({.name = name,
                      .type = "BatchMatMul",
                      .flops = 2 * Count(Elements(output)) * Count(inner),
                      .outputs = {output},
                      .dense = true,
                      .keeps_inputs = true},
                     {a, b});
}

Value Embedding(ModelBuilder& builder, const std::string& name, const Value& ids, int64_t rows,
                int64_t width) {
  Dims output = ids.dims;
  output.push_back(width);
  return builder.Add({.name = name,
                      .type = "Embedding",
                      .parameters = rows * width,
                      .outputs = {output},
                      .traffic = 2 * Elements(output) * kFloatBytes,
                      .keeps_inputs = true},
                     {ids});
}

Value LayerNorm(ModelBuilder& builder, const std::string& name, const Value& x) {
  return builder.Add({.name = name,
                      .type = "LayerNorm",
                      .flops = kNormFlops * Count(x.elements()),
                      .parameters = 2 * x.dims.back(),
                      .outputs = {x.dims},
                      .keeps_inputs = true,
                      .kept = 2 * x.elements() / x.dims.back() * kFloatBytes},
                     {x});
}

Value Softmax(ModelBuilder& builder, const std::string& name, const Value& x) {
  return builder.Add({.name = name,
                      .type = "Softmax",
                      .flops = kNormFlops * Count(x.elements()),
                      .outputs = {x.dims},
                      .keeps_outputs = true},
                     {x});
}

Value Dropout(ModelBuilder& builder, const std::string& name, const Value& x) {
  return builder.Add({.name = name,
                      .type = "Dropout",
                      .flops = Count(x.elements()),
                      .outputs = {x.dims},
                      .kept = x.elements()},
                     {x});
}

Value Activation(ModelBuilder& builder, const std::string& name, const std::string& type,
                 const Value& x) {
  return builder.Add({.name = name,
                      .type = type,
                      .flops = Count(x.elements()),
                      .outputs = {x.dims},
                      .keeps_outputs = true},
                     {x});
}

Value Plus(ModelBuilder& builder, const std::string& name, const std::vector<Value>& terms) {
  const auto largest =
      std::max_element(terms.begin(), terms.end(),
                       [](const Value& a, const Value& b) { return a.elements() < b.elements(); });
  return builder.Add({.name = name,
                      .type = "Add",
                      .flops = Count(largest->elements()) * Count(std::ssize(terms) - 1),
                      .outputs = {largest->dims}},
                     terms);
}

Value Times(ModelBuilder& builder, const std::string& name, const Value& a, const Value& b) {
  return builder.Add({.name = name,
                      .type = "Mul",
                      .flops = Count(a.elements()),
                      .outputs = {a.dims},
                      .keeps_inputs = true},
                     {a, b});
}

Value CrossEntropy(ModelBuilder& builder, const std::string& name, const Value& logits,
                   const Value& labels) {
  return builder.Add({.name = name,
                      .type = "SoftmaxCrossEntropy",
                      .flops = kNormFlops * Count(logits.elements()),
                      .outputs = {{1}},
                      .kept = logits.elements() * kFloatBytes},
                     {logits, labels});
}

Value AttentionBlock(ModelBuilder& builder, const std::string& name, const Value& x,
                     const Value& memory, int64_t heads) {
  const ModelBuilder::Scope scope(builder, name, {.block_type = "MultiHeadAttention"});
  const int64_t batch = x.dims[0], queries = x.dims[1], width = x.dims[2], keys = memory.dims[1];
  const Value q = Linear(builder, "query", x, width, false);
  const Value k = Linear(builder, "key", memory, width, false);
  const Value v = Linear(builder, "value", memory, width, false);
  const Value scores =
      BatchMatMul(builder, "scores", q, k, {batch, heads, queries, keys}, width / heads);
  const Value weights = Dropout(builder, "dropout_weights", Softmax(builder, "softmax", scores));
  const Value mixed = BatchMatMul(builder, "mix", weights, v, x.dims, keys);
  const Value projected =
      Dropout(builder, "dropout", Linear(builder, "output", mixed, width, false));
  return LayerNorm(builder, "norm", Plus(builder, "residual", {projected, x}));
}

}  // namespace orchard::place
