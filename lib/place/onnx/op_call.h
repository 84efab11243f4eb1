// One node while its outputs are found: what its inputs are, its attributes, and errors that name
// it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "place/onnx/value.h"

namespace orchard::place::onnx {

class OpCall {
 public:
  OpCall(const Node& node, int64_t opset, std::string where)
      : node(node),
        opset(opset),
        outputs(std::max<size_t>(1, node.outputs.size())),
        where_(std::move(where)) {}

  const Node& node;
  int64_t opset;                     // version of the operator set of its domain
  std::vector<const Value*> inputs;  // nullptr: left out
  std::vector<Value> outputs;        // at least one
  const ProtobufSource* source = nullptr;

  bool Has(size_t i) const { return i < inputs.size() && inputs[i]; }
  // Throws DataError when the input is left out.
  const Value& In(size_t i) const;
  bool Ranked(size_t i) const { return Has(i) && inputs[i]->shape.has_value(); }
  const Shape& ShapeOf(size_t i) const { return *In(i).shape; }
  size_t Rank(size_t i) const { return ShapeOf(i).size(); }
  int32_t ElementOf(size_t i) const { return Has(i) ? inputs[i]->element : kUndefined; }

  int64_t Int(std::string_view attribute, int64_t otherwise) const;
  double Float(std::string_view attribute, double otherwise) const;
  std::string_view Text(std::string_view attribute, std::string_view otherwise = "") const;
  std::optional<std::vector<int64_t>> Ints(std::string_view attribute) const;
  // The integers of an input, where they are known.
  std::optional<std::vector<int64_t>> Values(size_t i) const;
  // The integers of input i from version `since` of the operator set on, of `attribute` before;
  // nothing when they are absent. `unknown` is set when they are there and not known.
  std::optional<std::vector<int64_t>> IntsSince(int64_t since, size_t i, std::string_view attribute,
                                                bool& unknown) const;
  // An axis counted from the front. Throws DataError outside [-rank, rank).
  size_t Axis(int64_t axis, size_t rank) const;

  // Output k, where the node has it.
  void Set(size_t k, int32_t element, std::optional<Shape> shape);
  void Set(size_t k, const Value& like) { Set(k, like.element, like.shape); }
  void SetConstant(size_t k, Constant constant);

  // Largest shape of numpy's rules for broadcasting. Throws DataError when there is none.
  Shape Broadcast(const Shape& a, const Shape& b) const;

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  std::string where_;
};

}  // namespace orchard::place::onnx
