#include "place/onnx/op_call.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace orchard::place::onnx {

void OpCall::Fail(const std::string& what) const { throw DataError(what, where_); }

const Value& OpCall::In(size_t i) const {
  if (!Has(i)) Fail(fmt::format("input {} is missing", i));
  return *inputs[i];
}

int64_t OpCall::Int(std::string_view attribute, int64_t otherwise) const {
  const Attribute* found = node.Find(attribute);
  return found ? found->i : otherwise;
}

double OpCall::Float(std::string_view attribute, double otherwise) const {
  const Attribute* found = node.Find(attribute);
  return found ? found->f : otherwise;
}

std::string_view OpCall::Text(std::string_view attribute, std::string_view otherwise) const {
  const Attribute* found = node.Find(attribute);
  return found ? found->s : otherwise;
}

std::optional<std::vector<int64_t>> OpCall::Ints(std::string_view attribute) const {
  const Attribute* found = node.Find(attribute);
  if (!found) return std::nullopt;
  return found->ints;
}

std::optional<std::vector<int64_t>> OpCall::Values(size_t i) const {
  if (!Has(i) || !inputs[i]->constant || !inputs[i]->constant->floats.empty()) return std::nullopt;
  return inputs[i]->constant->ints;
}

std::optional<std::vector<int64_t>> OpCall::IntsSince(int64_t since, size_t i,
                                                      std::string_view attribute,
                                                      bool& unknown) const {
  unknown = false;
  if (opset < since) return Ints(attribute);
  if (!Has(i)) return std::nullopt;
  auto values = Values(i);
  unknown = !values;
  return values;
}

size_t OpCall::Axis(int64_t axis, size_t rank) const {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n) Fail(fmt::format("axis {} of a tensor with {} axes", axis, rank));
  return static_cast<size_t>(axis < 0 ? axis + n : axis);
}

void OpCall::Set(size_t k, int32_t element, std::optional<Shape> shape) {
  if (k >= outputs.size()) return;
  outputs[k].element = element;
  outputs[k].shape = std::move(shape);
}

void OpCall::SetConstant(size_t k, Constant constant) {
  if (k >= outputs.size() || !outputs[k].complete()) return;
  if (static_cast<int64_t>(constant.size()) != outputs[k].Elements()) return;
  outputs[k].constant = std::make_shared<Constant>(std::move(constant));
}

Shape OpCall::Broadcast(const Shape& a, const Shape& b) const {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& n = result[offset + i];
    const int64_t m = shorter[i];
    if (n == m || m == 1) continue;
    if (n == 1) {
      n = m;
    } else if (n == kOpen) {
      n = m;  // m > 1 or open: the other one is m or 1
    } else if (m != kOpen) {
      Fail(fmt::format("sizes {} and {} do not broadcast", n, m));
    }
  }
  return result;
}

}  // namespace orchard::place::onnx
