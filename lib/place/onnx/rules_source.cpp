// Operators that make values from nothing but attributes and shapes.
#include <algorithm>
#include <cmath>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

double Nothing(const OpCall&) { return 0; }

void ConstantNode(OpCall& call) {
  for (const Attribute& attribute : call.node.attributes) {
    if ((attribute.name == "value" || attribute.name == "sparse_value") &&
        !attribute.tensors.empty()) {
      const TensorInfo& tensor = attribute.tensors[0];
      call.Set(0, tensor.element, tensor.dims);
      if (auto constant = ReadConstant(tensor, *call.source)) call.SetConstant(0, *constant);
    } else if (attribute.name == "value_int") {
      call.Set(0, kInt64, Shape{});
      call.SetConstant(0, {.ints = {attribute.i}});
    } else if (attribute.name == "value_ints") {
      call.Set(0, kInt64, Shape{static_cast<int64_t>(attribute.ints.size())});
      if (attribute.ints.size() <= kMaxConstant) call.SetConstant(0, {.ints = attribute.ints});
    } else if (attribute.name == "value_float") {
      call.Set(0, kFloat, Shape{});
      call.SetConstant(0, {.floats = {attribute.f}});
    } else if (attribute.name == "value_floats") {
      call.Set(0, kFloat, Shape{static_cast<int64_t>(attribute.floats.size())});
      if (attribute.floats.size() <= kMaxConstant)
        call.SetConstant(0, {.floats = attribute.floats});
    } else if (attribute.name == "value_string") {
      call.Set(0, kString, Shape{});
    } else if (attribute.name == "value_strings") {
      call.Set(0, kString, Shape{static_cast<int64_t>(attribute.strings.size())});
    }
  }
}

void ShapeNode(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, kInt64, Shape{kOpen});
  const Shape& in = call.ShapeOf(0);
  const auto rank = static_cast<int64_t>(in.size());
  const auto bound = [&](int64_t i) {
    return std::clamp<int64_t>(i < 0 ? (i < -rank ? 0 : i + rank) : i, 0, rank);
  };
  const int64_t begin = bound(call.Int("start", 0)), end = bound(call.Int("end", rank));
  Constant sizes;
  bool known = !call.In(0).upper_bound;
  for (int64_t i = begin; i < end; ++i) {
    sizes.ints.push_back(in[static_cast<size_t>(i)]);
    known = known && sizes.ints.back() >= 0;
  }
  call.Set(0, kInt64, Shape{std::max<int64_t>(0, end - begin)});
  if (known) call.SetConstant(0, std::move(sizes));
}

void Size(OpCall& call) {
  call.Set(0, kInt64, Shape{});
  if (call.In(0).upper_bound || !call.Ranked(0)) return;
  const int64_t n = Product(call.ShapeOf(0), 0, call.Rank(0));
  if (n >= 0) call.SetConstant(0, {.ints = {n}});
}

void ConstantOfShape(OpCall& call) {
  Constant one{.floats = {0}};
  int32_t element = kFloat;
  if (const Attribute* value = call.node.Find("value"); value && !value->tensors.empty()) {
    element = value->tensors[0].element;
    const auto constant = ReadConstant(value->tensors[0], *call.source);
    one = constant && constant->size() == 1 ? *constant : Constant();
  }
  const auto shape = call.Values(0);
  if (!shape) {
    const bool ranked =
        call.Ranked(0) && call.Rank(0) == 1 && call.ShapeOf(0)[0] >= 0 && call.ShapeOf(0)[0] < 64;
    if (!ranked) return call.Set(0, element, std::nullopt);
    return call.Set(0, element, Shape(static_cast<size_t>(call.ShapeOf(0)[0]), kOpen));
  }
  for (int64_t n : *shape) {
    if (n < 0) call.Fail("a size is negative");
  }
  call.Set(0, element, *shape);
  const int64_t n = Product(*shape, 0, shape->size());
  if (n > kMaxConstant) return;
  if (!one.ints.empty()) one.ints.assign(static_cast<size_t>(n), one.ints[0]);
  if (!one.floats.empty()) one.floats.assign(static_cast<size_t>(n), one.floats[0]);
  call.SetConstant(0, std::move(one));
}

void RangeNode(OpCall& call) {
  const int32_t element = call.In(0).element;
  for (size_t i = 0; i < 3; ++i) {
    if (!call.In(i).constant || call.In(i).constant->size() != 1)
      return call.Set(0, element, Shape{kOpen});
  }
  const Constant &start = *call.In(0).constant, &limit = *call.In(1).constant,
                 &delta = *call.In(2).constant;
  if (delta.At(0) == 0) call.Fail("a step of 0");
  const double count = std::max(0.0, std::ceil((limit.At(0) - start.At(0)) / delta.At(0)));
  if (!(count < 1e15)) call.Fail("the range has too many elements");
  const auto n = static_cast<int64_t>(count);
  call.Set(0, element, Shape{n});
  if (n > kMaxConstant) return;
  Constant all;
  for (int64_t i = 0; i < n; ++i) {
    if (start.ints.empty() || delta.ints.empty()) {
      all.floats.push_back(start.At(0) + static_cast<double>(i) * delta.At(0));
    } else {
      all.ints.push_back(
          static_cast<int64_t>(static_cast<uint64_t>(start.ints[0]) +
                               static_cast<uint64_t>(i) * static_cast<uint64_t>(delta.ints[0])));
    }
  }
  call.SetConstant(0, std::move(all));
}

void Random(OpCall& call) {
  const auto shape = call.Ints("shape");
  for (int64_t n : shape.value_or(std::vector<int64_t>())) {
    if (n < 0) call.Fail("a size is negative");
  }
  call.Set(0, static_cast<int32_t>(call.Int("dtype", kFloat)), shape);
}

void RandomLike(OpCall& call) {
  call.Set(0, static_cast<int32_t>(call.Int("dtype", call.In(0).element)), call.In(0).shape);
}

void Multinomial(OpCall& call) {
  const auto element = static_cast<int32_t>(call.Int("dtype", kInt32));
  if (!call.Ranked(0) || call.Rank(0) != 2) return call.Set(0, element, std::nullopt);
  call.Set(0, element, Shape{call.ShapeOf(0)[0], std::max<int64_t>(0, call.Int("sample_size", 1))});
}

void Window(OpCall& call) {
  const auto element = static_cast<int32_t>(call.Int("output_datatype", kFloat));
  const auto size = call.Values(0);
  const bool known = size && size->size() == 1 && (*size)[0] >= 0;
  call.Set(0, element, Shape{known ? (*size)[0] : static_cast<int64_t>(kOpen)});
}

constexpr OpRule kRules[] = {
    {"Bernoulli", RandomLike, PerOutput<1>, kEveryRun},
    {"BlackmanWindow", Window, PerOutput<1>},
    {"Constant", ConstantNode, Nothing},
    {"ConstantOfShape", ConstantOfShape, Nothing},
    {"EyeLike", RandomLike, Nothing},
    {"HammingWindow", Window, PerOutput<1>},
    {"HannWindow", Window, PerOutput<1>},
    {"Multinomial", Multinomial, PerInput<1>, kEveryRun},
    {"RandomNormal", Random, PerOutput<1>, kEveryRun},
    {"RandomNormalLike", RandomLike, PerOutput<1>, kEveryRun},
    {"RandomUniform", Random, PerOutput<1>, kEveryRun},
    {"RandomUniformLike", RandomLike, PerOutput<1>, kEveryRun},
    {"Range", RangeNode, PerOutput<1>},
    {"Shape", ShapeNode, Nothing, kView},
    {"Size", Size, Nothing, kView},
};

}  // namespace

std::span<const OpRule> SourceRules() { return kRules; }

}  // namespace orchard::place::onnx
