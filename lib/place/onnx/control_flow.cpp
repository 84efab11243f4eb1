// Operators with subgraphs. One counts as a single operator that does the work of its subgraphs:
// the larger branch of If, the body of Loop as often as its trip count says (once, where that is
// not a constant), the body of Scan once for each element of the sequence.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/printable.h"
#include "place/onnx/scope.h"

namespace orchard::place::onnx {
namespace {

const GraphInfo& Subgraph(const OpCall& call, std::string_view attribute) {
  const Attribute* found = call.node.Find(attribute);
  if (!found || found->graphs.empty())
    call.Fail("the subgraph '" + std::string(attribute) + "' is missing");
  return *found->graphs[0];
}

// A shape that holds both.
Value Larger(const Value& a, const Value& b) {
  if (!a.shape || !b.shape || a.shape->size() != b.shape->size() || a.element != b.element)
    return {.element = a.element == b.element ? a.element : static_cast<int32_t>(kUndefined)};
  Value value = a;
  value.constant = nullptr;
  for (size_t i = 0; i < a.shape->size(); ++i) {
    if ((*a.shape)[i] != (*b.shape)[i]) value.upper_bound = true;
    (*value.shape)[i] = std::max((*a.shape)[i], (*b.shape)[i]);
  }
  return value;
}

}  // namespace

Inference::Body Inference::EvaluateBody(const GraphInfo& graph, Scope& outer,
                                        const std::vector<Value>& inputs) {
  Scope scope{.outer = &outer};
  Body body;
  for (const TensorInfo& tensor : graph.initializers) {
    Value& value = scope.values[tensor.name];
    value = {.element = tensor.element, .shape = tensor.dims, .load_time = true};
    value.constant = ReadConstant(tensor, model_.source);
    body.parameters += tensor.ByteSize();
    if (body.parameters > kMaxElements) throw TooLarge();
  }
  for (size_t i = 0; i < graph.inputs.size() && i < inputs.size(); ++i)
    scope.values[graph.inputs[i].name] = inputs[i];
  for (const auto* list : {&graph.values, &graph.outputs}) {
    for (const ValueInfo& info : *list) stated_.emplace(info.name, &info);
  }
  for (const Node& node : graph.nodes) {
    const NodeFacts facts = Evaluate(node, scope);
    bool known = true;
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const Value& value = facts.outputs[k];
      known = known && value.load_time;
      if (value.complete()) body.temp = std::max(body.temp, value.Bytes());
      scope.values[node.outputs[k]] = value;
    }
    body.parameters += facts.inner_parameters;
    if (body.parameters > kMaxElements) throw TooLarge();
    if (known) continue;
    body.flops += facts.flops;
    body.dense_flops += facts.dense_flops;
    body.us += facts.us;
    body.bwd_us += facts.bwd_us;
  }
  for (const ValueInfo& output : graph.outputs) {
    const Value* value = scope.Find(output.name);
    if (!value) {
      throw DataError("a subgraph puts out " + io::Quoted(output.name) + ", which nothing makes",
                      model_.source.name);
    }
    body.outputs.push_back(*value);
    body.outputs.back().load_time = false;
  }
  return body;
}

bool Inference::EvaluateControl(OpCall& call, Scope& scope, NodeFacts& facts) {
  const std::string_view type = call.node.op_type;
  if (!call.node.standard()) return false;
  if (type == "If") {
    EvaluateIf(call, scope, facts);
  } else if (type == "Loop") {
    EvaluateLoop(call, scope, facts);
  } else if (type == "Scan") {
    EvaluateScan(call, scope, facts);
  } else {
    return false;
  }
  facts.us += preset_.launch_us;
  Note("operators with subgraphs, counted as one operator each that does all their work",
       std::string(type));
  return true;
}

void Inference::EvaluateIf(OpCall& call, Scope& scope, NodeFacts& facts) {
  Body yes = EvaluateBody(Subgraph(call, "then_branch"), scope, {});
  Body no = EvaluateBody(Subgraph(call, "else_branch"), scope, {});
  if (yes.outputs.size() != no.outputs.size() || yes.outputs.size() != call.node.outputs.size())
    call.Fail("the branches do not put out what the node does");
  const auto choice = call.Values(0);
  const bool known = choice && choice->size() == 1;
  const Body& taken = known ? ((*choice)[0] ? yes : no) : (yes.us >= no.us ? yes : no);
  for (size_t k = 0; k < call.node.outputs.size(); ++k) {
    call.outputs[k] = known ? taken.outputs[k] : Larger(yes.outputs[k], no.outputs[k]);
    call.outputs[k].constant = nullptr;
  }
  facts.flops = taken.flops;
  facts.dense_flops = taken.dense_flops;
  facts.us = taken.us;
  facts.bwd_us = taken.bwd_us;
  facts.temp = std::max(yes.temp, no.temp);
  facts.inner_parameters = yes.parameters + no.parameters;
}

void Inference::EvaluateLoop(OpCall& call, Scope& scope, NodeFacts& facts) {
  const GraphInfo& graph = Subgraph(call, "body");
  const size_t carried = call.inputs.size() < 2 ? 0 : call.inputs.size() - 2;
  std::vector<Value> inputs = {{.element = kInt64, .shape = Shape()},
                               {.element = kBool, .shape = Shape()}};
  for (size_t i = 2; i < call.inputs.size(); ++i) {
    inputs.push_back(call.In(i));
    inputs.back().constant = nullptr;
    inputs.back().load_time = false;
  }
  const auto stated = call.Values(0);
  int64_t trips = 1;
  if (stated && stated->size() == 1 && (*stated)[0] >= 0 && (*stated)[0] <= 1'000'000'000) {
    trips = (*stated)[0];
  } else {
    Note("loops whose number of rounds is not a constant, counted as one round",
         io::Quoted(call.node.name.empty() && !call.node.outputs.empty() ? call.node.outputs[0]
                                                                         : call.node.name));
  }
  Body body = EvaluateBody(graph, scope, inputs);
  if (body.outputs.size() != call.node.outputs.size() + 1 || body.outputs.size() < carried + 1)
    call.Fail("the body does not put out what the node does");
  for (size_t k = 0; k < call.node.outputs.size(); ++k) {
    Value value = body.outputs[k + 1];
    value.constant = nullptr;
    if (k >= carried && value.shape) value.shape->insert(value.shape->begin(), trips);
    call.outputs[k] = std::move(value);
  }
  const auto rounds = static_cast<double>(trips);
  facts.flops = rounds * body.flops;
  facts.dense_flops = rounds * body.dense_flops;
  facts.us = rounds * body.us;
  facts.bwd_us = rounds * body.bwd_us;
  facts.temp = body.temp;
  facts.inner_parameters = body.parameters;
}

void Inference::EvaluateScan(OpCall& call, Scope& scope, NodeFacts& facts) {
  const GraphInfo& graph = Subgraph(call, "body");
  const int64_t scanned = call.Int("num_scan_inputs", 0);
  const auto count = static_cast<int64_t>(call.inputs.size());
  if (call.opset < 9) call.Fail("Scan of operator set 8 is not understood");
  if (scanned < 1 || scanned > count) call.Fail("'num_scan_inputs' does not fit the inputs");
  const auto axes = call.Ints("scan_input_axes").value_or(std::vector<int64_t>());
  const auto out_axes = call.Ints("scan_output_axes").value_or(std::vector<int64_t>());
  std::vector<Value> inputs;
  int64_t steps = kOpen;
  for (int64_t i = 0; i < count; ++i) {
    Value value = call.In(static_cast<size_t>(i));
    value.constant = nullptr;
    value.load_time = false;
    const int64_t k = i - (count - scanned);
    if (k >= 0 && value.shape) {
      const size_t axis =
          call.Axis(k < static_cast<int64_t>(axes.size()) ? axes[static_cast<size_t>(k)] : 0,
                    value.shape->size());
      steps = std::max(steps, (*value.shape)[axis]);
      value.shape->erase(value.shape->begin() + static_cast<std::ptrdiff_t>(axis));
    }
    inputs.push_back(std::move(value));
  }
  Body body = EvaluateBody(graph, scope, inputs);
  const auto states = static_cast<size_t>(count - scanned);
  if (body.outputs.size() != call.node.outputs.size() || body.outputs.size() < states)
    call.Fail("the body does not put out what the node does");
  for (size_t k = 0; k < call.node.outputs.size(); ++k) {
    Value value = body.outputs[k];
    value.constant = nullptr;
    if (k >= states && value.shape) {
      const size_t n = k - states;
      const size_t axis = call.Axis(n < out_axes.size() ? out_axes[n] : 0, value.shape->size() + 1);
      value.shape->insert(value.shape->begin() + static_cast<std::ptrdiff_t>(axis), steps);
    }
    call.outputs[k] = std::move(value);
  }
  const auto rounds = static_cast<double>(std::max<int64_t>(0, steps));
  facts.flops = rounds * body.flops;
  facts.dense_flops = rounds * body.dense_flops;
  facts.us = rounds * body.us;
  facts.bwd_us = rounds * body.bwd_us;
  facts.temp = body.temp;
  facts.inner_parameters = body.parameters;
}

}  // namespace orchard::place::onnx
