// One node: shapes by its rule, completed by what the file and the user state; and its costs.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/printable.h"
#include "place/onnx/scope.h"

namespace orchard::place::onnx {

NodeFacts Inference::Evaluate(const Node& node, Scope& scope) {
  OpCall call(node, model_.Opset(node.standard() ? "" : node.domain), Where(node));
  if (node.standard() && call.opset == 0)
    call.Fail("the model does not say which version of the standard operators it uses");
  call.source = &model_.source;
  bool load_time = true, upper_bound = false;
  const auto read = [&](const Value& value) {
    load_time = load_time && value.load_time;
    upper_bound = upper_bound || value.upper_bound;
  };
  for (std::string_view name : node.inputs) {
    const Value* value = name.empty() ? nullptr : scope.Find(name);
    if (!value && !name.empty())
      call.Fail("reads " + io::Quoted(name) + ", which nothing has made before");
    call.inputs.push_back(value);
    if (value) read(*value);
  }
  const OpRule* rule = FindRule(node);
  NodeFacts facts;
  facts.flags = rule ? rule->flags : kSavesInputs | kSavesOutput;
  bool control = false;
  try {
    control = EvaluateControl(call, scope, facts);
    if (rule) {
      rule->infer(call);
    } else if (!control) {
      Note("operators that are not understood, counted as one operation for each output element",
           io::Printable(node.Type()));
    }
    Complete(node, call, rule);
    if (control) {
      load_time = false;
      facts.flags |= kEveryRun;
    } else {
      Cost(call, rule, facts);
    }
  } catch (const TooLarge&) {
    call.Fail("a tensor has more than 2^60 elements or bytes");
  }
  load_time = load_time && rule && !(rule->flags & kEveryRun);
  call.outputs.resize(node.outputs.size());
  DropConstants(call);
  for (Value& value : call.outputs) {
    if (value.upper_bound && !upper_bound)
      Note("sizes that depend on data, taken as large as they can be", Where(node));
    value.upper_bound = value.upper_bound || upper_bound;
    value.load_time = load_time || value.constant != nullptr;
  }
  facts.outputs = std::move(call.outputs);
  return facts;
}

// Shapes are made of a few numbers each. A file of a megabyte can fold to gigabytes, of which the
// rest is as good as unknown.
void Inference::DropConstants(OpCall& call) {
  constexpr size_t kMostBytes = size_t{1} << 27;
  for (Value& value : call.outputs) {
    if (!value.constant || value.constant.use_count() > 1) continue;
    folded_bytes_ += value.constant->size() * sizeof(int64_t);
    if (folded_bytes_ > kMostBytes) value.constant = nullptr;
  }
}

// The user's word wins; the file's fills what the rules leave open.
void Inference::MergeStated(std::string_view name, Value& value) {
  if (const auto given = shapes_.find(name); given != shapes_.end()) {
    value = given->second;
    ++report_.stated_shapes;
    return;
  }
  const auto found = stated_.find(name);
  if (found == stated_.end()) {
    if (value.complete()) ++report_.inferred_shapes;
    return;
  }
  const Value stated = FromInfo(*found->second);
  if (!stated.is_tensor && !value.shape) value.is_tensor = false;
  if (value.element == kUndefined) value.element = stated.element;
  const bool own = value.complete();
  if (own)
    ++report_.inferred_shapes;
  else
    ++report_.stated_shapes;
  if (!stated.shape) return;
  if (!value.shape) {
    value.shape = stated.shape;
    return;
  }
  bool agree = value.shape->size() == stated.shape->size();
  for (size_t i = 0; agree && i < stated.shape->size(); ++i) {
    int64_t& n = (*value.shape)[i];
    const int64_t m = (*stated.shape)[i];
    if (n < 0) n = m;
    agree = m < 0 || m == n;
  }
  if (!agree && !value.upper_bound)
    Note("shapes that the file states otherwise than they follow from the operators (which count)",
         io::Quoted(name));
}

void Inference::Complete(const Node& node, OpCall& call, const OpRule* rule) {
  for (size_t k = 0; k < node.outputs.size(); ++k) {
    if (node.outputs[k].empty()) {
      call.outputs[k] = {.element = kBool, .shape = Shape{0}};  // left out: nothing is made
      continue;
    }
    Value& value = call.outputs[k];
    MergeStated(node.outputs[k], value);
    if (value.shape && value.shape->size() > kMaxAxes) CheckAxes(value.shape->size(), Where(node));
    if (value.complete()) {
      for (int64_t n : *value.shape) {
        if (n > kMaxElements) throw TooLarge();
      }
      value.Bytes();
      continue;
    }
    const std::string output = io::Printable(node.outputs[k], 80);
    if (!value.is_tensor) {
      throw DataError(
          fmt::format("makes '{}', which is a sequence, map or optional and no tensor", output),
          Where(node), "export the model without sequences");
    }
    throw DataError(
        fmt::format("the shape of its output '{}' is not known ({}){}", output, Describe(value),
                    rule ? "" : ", nor is the operator"),
        Where(node),
        fmt::format("run onnx.shape_inference on the model, or give --shape {}=8x64x7x7", output));
  }
}

void Inference::Cost(const OpCall& call, const OpRule* rule, NodeFacts& facts) const {
  bool inputs_known = true;
  double traffic = 0;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (!call.Has(i)) continue;
    inputs_known = inputs_known && call.inputs[i]->complete();
    if (!call.inputs[i]->complete()) continue;
    const auto bytes = static_cast<double>(call.inputs[i]->Bytes());
    if (i == 0 && (facts.flags & kReadsPart)) {
      if (call.outputs[0].complete())
        traffic += std::min(bytes, static_cast<double>(call.outputs[0].Bytes()));
    } else {
      traffic += bytes;
    }
  }
  for (const Value& value : call.outputs) {
    if (value.complete()) traffic += static_cast<double>(value.Bytes());
  }
  facts.flops = rule && inputs_known ? std::max(0.0, rule->flops(call)) : OutputElements(call);
  if (facts.flags & kDense) facts.dense_flops = facts.flops;
  if (facts.flags & kView) return;
  facts.us = AnalyticMicroseconds(facts.flops, traffic, preset_);
  // Integers have no gradient.
  const bool has_gradient = !call.outputs.empty() && IsFloating(call.outputs[0].element);
  const double backward = facts.flags & kDense ? kDenseBackward : kOtherBackward;
  facts.bwd_us = has_gradient ? backward * facts.us : 0;
}

}  // namespace orchard::place::onnx
