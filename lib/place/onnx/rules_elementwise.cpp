// Operators that compute every element of their output from the elements at the same place.
#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

void Unary(OpCall& call) {
  SameAsInput(call);
  FoldElementwise(call);
}

void Test(OpCall& call) { call.Set(0, kBool, call.In(0).shape); }

void Cast(OpCall& call) {
  const auto element =
      static_cast<int32_t>(call.node.op_type == "CastLike" ? call.ElementOf(1) : call.Int("to", 0));
  if (call.node.op_type == "Cast" && ElementBits(element) == 0)
    call.Fail("'to' is no element type that is known");
  call.Set(0, element, call.In(0).shape);
  if (call.node.op_type == "CastLike" && call.Has(0) && call.inputs[0]->constant) {
    OpCall alone = call;  // only the type of the second input matters
    alone.inputs.resize(1);
    FoldElementwise(alone);
    call.outputs[0] = alone.outputs[0];
    return;
  }
  FoldElementwise(call);
}

// The inputs from `first` on, broadcast together.
std::optional<Shape> Joint(const OpCall& call, size_t first = 0) {
  std::optional<Shape> shape;
  for (size_t i = first; i < call.inputs.size(); ++i) {
    if (!call.Has(i)) continue;
    if (!call.Ranked(i)) return std::nullopt;
    shape = shape ? call.Broadcast(*shape, call.ShapeOf(i)) : call.ShapeOf(i);
  }
  return shape;
}

void Several(OpCall& call) {
  call.Set(0, call.In(0).element, Joint(call));
  FoldElementwise(call);
}

void Compare(OpCall& call) {
  call.Set(0, kBool, Joint(call));
  FoldElementwise(call);
}

void Where(OpCall& call) {
  call.Set(0, call.In(1).element, Joint(call));
  FoldElementwise(call);
}

// The output has the shape of the first input, whatever the others are.
void LikeFirst(OpCall& call) { SameAsInput(call); }

void Dropout(OpCall& call) {
  SameAsInput(call);
  call.Set(1, call.opset >= 10 ? static_cast<int32_t>(kBool) : call.In(0).element,
           call.In(0).shape);
}

double Nothing(const OpCall&) { return 0; }

constexpr OpRule kRules[] = {
    {"Abs", Unary, PerOutput<1>, kSavesInputs},
    {"Acos", Unary, PerOutput<1>, kSavesInputs},
    {"Acosh", Unary, PerOutput<1>, kSavesInputs},
    {"Asin", Unary, PerOutput<1>, kSavesInputs},
    {"Asinh", Unary, PerOutput<1>, kSavesInputs},
    {"Atan", Unary, PerOutput<1>, kSavesInputs},
    {"Atanh", Unary, PerOutput<1>, kSavesInputs},
    {"BitwiseNot", Unary, PerOutput<1>},
    {"Ceil", Unary, PerOutput<1>},
    {"Celu", Unary, PerOutput<1>, kSavesInputs},
    {"Cos", Unary, PerOutput<1>, kSavesInputs},
    {"Cosh", Unary, PerOutput<1>, kSavesInputs},
    {"Elu", Unary, PerOutput<1>, kSavesOutput},
    {"Erf", Unary, PerOutput<1>, kSavesInputs},
    {"Exp", Unary, PerOutput<1>, kSavesOutput},
    {"Floor", Unary, PerOutput<1>},
    {"Gelu", Unary, PerOutput<1>, kSavesInputs},
    {"HardSigmoid", Unary, PerOutput<1>, kSavesInputs},
    {"HardSwish", Unary, PerOutput<1>, kSavesInputs},
    {"Identity", Unary, Nothing, kView},
    {"LeakyRelu", Unary, PerOutput<1>, kSavesOutput},
    {"Log", Unary, PerOutput<1>, kSavesInputs},
    {"Mish", Unary, PerOutput<1>, kSavesInputs},
    {"Neg", Unary, PerOutput<1>},
    {"Not", Unary, PerOutput<1>},
    {"Reciprocal", Unary, PerOutput<1>, kSavesOutput},
    {"Relu", Unary, PerOutput<1>, kSavesOutput},
    {"Round", Unary, PerOutput<1>},
    {"Selu", Unary, PerOutput<1>, kSavesOutput},
    {"Shrink", Unary, PerOutput<1>, kSavesInputs},
    {"Sigmoid", Unary, PerOutput<1>, kSavesOutput},
    {"Sign", Unary, PerOutput<1>},
    {"Sin", Unary, PerOutput<1>, kSavesInputs},
    {"Sinh", Unary, PerOutput<1>, kSavesInputs},
    {"Softplus", Unary, PerOutput<1>, kSavesInputs},
    {"Softsign", Unary, PerOutput<1>, kSavesInputs},
    {"Sqrt", Unary, PerOutput<1>, kSavesOutput},
    {"Swish", Unary, PerOutput<1>, kSavesInputs},
    {"Tan", Unary, PerOutput<1>, kSavesInputs},
    {"Tanh", Unary, PerOutput<1>, kSavesOutput},
    {"ThresholdedRelu", Unary, PerOutput<1>, kSavesOutput},
    {"Cast", Cast, PerOutput<1>},
    {"CastLike", Cast, PerOutput<1>},
    {"IsInf", Test, PerOutput<1>},
    {"IsNaN", Test, PerOutput<1>},
    {"Clip", LikeFirst, PerOutput<1>, kSavesInputs},
    {"CumSum", LikeFirst, PerOutput<1>},
    {"CumProd", LikeFirst, PerOutput<1>, kSavesInputs},
    {"Dropout", Dropout, Nothing, kView | kEveryRun},
    {"PRelu", LikeFirst, PerOutput<1>, kSavesInputs},
    {"Add", Several, PerOutput<1>},
    {"BitShift", Several, PerOutput<1>},
    {"BitwiseAnd", Several, PerOutput<1>},
    {"BitwiseOr", Several, PerOutput<1>},
    {"BitwiseXor", Several, PerOutput<1>},
    {"Div", Several, PerOutput<1>, kSavesInputs},
    {"Max", Several, PerOutput<1>, kSavesInputs},
    {"Mean", Several, PerOutput<1>},
    {"Min", Several, PerOutput<1>, kSavesInputs},
    {"Mod", Several, PerOutput<1>},
    {"Mul", Several, PerOutput<1>, kSavesInputs},
    {"Pow", Several, PerOutput<1>, kSavesInputs},
    {"Sub", Several, PerOutput<1>},
    {"Sum", Several, PerOutput<1>},
    {"And", Compare, PerOutput<1>},
    {"Equal", Compare, PerOutput<1>},
    {"Greater", Compare, PerOutput<1>},
    {"GreaterOrEqual", Compare, PerOutput<1>},
    {"Less", Compare, PerOutput<1>},
    {"LessOrEqual", Compare, PerOutput<1>},
    {"Or", Compare, PerOutput<1>},
    {"Xor", Compare, PerOutput<1>},
    {"Where", Where, PerOutput<1>},
};

}  // namespace

std::span<const OpRule> ElementwiseRules() { return kRules; }

}  // namespace orchard::place::onnx
