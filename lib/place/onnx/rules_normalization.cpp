// Normalisations and the operators that, like them, read a whole row for each element: five
// operations an element.
#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

void BatchNormalization(OpCall& call) {
  SameAsInput(call);
  for (size_t k = 1; k < call.outputs.size(); ++k) {  // running mean and variance, when training
    const size_t like = k < 3 ? 2 + k : k;
    if (call.Has(like)) call.Set(k, call.In(like));
  }
}

// With mean and inverse deviation over the axes from `axis` on, kept as 1.
void LayerNormalization(OpCall& call) {
  SameAsInput(call);
  if (!call.Ranked(0)) return;
  Shape kept = call.ShapeOf(0);
  for (size_t i = call.Axis(call.Int("axis", -1), kept.size()); i < kept.size(); ++i) kept[i] = 1;
  const auto element = static_cast<int32_t>(call.Int("stash_type", kFloat));
  call.Set(1, element, kept);
  call.Set(2, element, kept);
}

// Loss of scores [N, C, ...] against labels [N, ...], and the logarithms of the probabilities.
void CrossEntropy(OpCall& call) {
  const bool each = call.Text("reduction", "mean") == "none";
  call.Set(0, call.In(0).element, each ? call.In(1).shape : Shape{});
  call.Set(1, call.In(0));
}

constexpr OpRule kRules[] = {
    {"BatchNormalization", BatchNormalization, PerOutput<5>, kSavesInputs},
    {"GroupNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"Hardmax", SameAsInput, PerOutput<5>},
    {"InstanceNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"LayerNormalization", LayerNormalization, PerOutput<5>, kSavesInputs},
    {"LogSoftmax", SameAsInput, PerOutput<5>, kSavesOutput},
    {"LpNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"LRN", SameAsInput, PerOutput<5>, kSavesInputs},
    {"MeanVarianceNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"NegativeLogLikelihoodLoss", CrossEntropy, PerInput<1>, kSavesInputs},
    {"RMSNormalization", SameAsInput, PerOutput<5>, kSavesInputs},
    {"Softmax", SameAsInput, PerOutput<5>, kSavesOutput},
    {"SoftmaxCrossEntropyLoss", CrossEntropy, PerInput<5>, kSavesInputs},
};

}  // namespace

std::span<const OpRule> NormalizationRules() { return kRules; }

}  // namespace orchard::place::onnx
