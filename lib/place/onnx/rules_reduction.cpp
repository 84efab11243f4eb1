// Operators that sum up axes.
#include <algorithm>

#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

// ReduceSum takes its axes as an input from operator set 13 on, the others from 18 on.
void ReduceSince(OpCall& call, int64_t since) {
  const int32_t element = call.In(0).element;
  bool unknown;
  const auto axes = call.IntsSince(since, 1, "axes", unknown);
  const bool keep = call.Int("keepdims", 1) != 0;
  if (!call.Ranked(0)) return call.Set(0, element, std::nullopt);
  const Shape& in = call.ShapeOf(0);
  if (unknown) {
    if (keep) return call.Set(0, element, Shape(in.size(), kOpen));
    return call.Set(0, element, std::nullopt);
  }
  const bool none = !axes || axes->empty();
  std::vector<bool> summed(in.size(), none && call.Int("noop_with_empty_axes", 0) == 0);
  for (int64_t axis : axes.value_or(std::vector<int64_t>()))
    summed[call.Axis(axis, in.size())] = true;
  Shape out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (!summed[i]) out.push_back(in[i]);
    if (summed[i] && keep) out.push_back(1);
  }
  call.Set(0, element, out);
}

// Products and extremes of a known list, which exporters compute sizes with.
void FoldList(OpCall& call) {
  const auto values = call.Values(0);
  if (!values || values->empty() || !call.outputs[0].complete() || call.outputs[0].Elements() != 1)
    return;
  int64_t result = (*values)[0];
  for (size_t i = 1; i < values->size(); ++i) {
    const int64_t value = (*values)[i];
    if (call.node.op_type == "ReduceProd") {
      if (__builtin_mul_overflow(result, value, &result)) return;
    } else if (call.node.op_type == "ReduceSum") {
      if (__builtin_add_overflow(result, value, &result)) return;
    } else if (call.node.op_type == "ReduceMax") {
      result = std::max(result, value);
    } else if (call.node.op_type == "ReduceMin") {
      result = std::min(result, value);
    } else {
      return;
    }
  }
  call.SetConstant(0, {.ints = {result}});
}

void Reduce(OpCall& call) {
  ReduceSince(call, 18);
  if (!call.outputs.empty()) FoldList(call);
}
void ReduceSum(OpCall& call) {
  ReduceSince(call, 13);
  if (!call.outputs.empty()) FoldList(call);
}

void ArgReduce(OpCall& call) {
  if (!call.Ranked(0)) return call.Set(0, kInt64, std::nullopt);
  Shape out = call.ShapeOf(0);
  const size_t axis = call.Axis(call.Int("axis", 0), out.size());
  if (call.Int("keepdims", 1) != 0)
    out[axis] = 1;
  else
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(axis));
  call.Set(0, kInt64, out);
}

constexpr OpRule kRules[] = {
    {"ArgMax", ArgReduce, PerInput<1>},
    {"ArgMin", ArgReduce, PerInput<1>},
    {"ReduceL1", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceL2", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceLogSum", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceLogSumExp", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceMax", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceMean", Reduce, PerInput<1>},
    {"ReduceMin", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceProd", Reduce, PerInput<1>, kSavesInputs},
    {"ReduceSum", ReduceSum, PerInput<1>},
    {"ReduceSumSquare", Reduce, PerInput<1>, kSavesInputs},
};

}  // namespace

std::span<const OpRule> ReductionRules() { return kRules; }

}  // namespace orchard::place::onnx
