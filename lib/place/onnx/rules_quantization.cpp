// Between floats and small integers.
#include "place/onnx/rules.h"

namespace orchard::place::onnx {
namespace {

void Quantize(OpCall& call) {
  int32_t element = call.Has(2) ? call.ElementOf(2) : static_cast<int32_t>(kUint8);
  if (const int64_t stated = call.Int("output_dtype", 0); !call.Has(2) && stated != 0)
    element = static_cast<int32_t>(stated);
  call.Set(0, element, call.In(0).shape);
}

void Dequantize(OpCall& call) {
  const auto stated = static_cast<int32_t>(call.Int("output_dtype", 0));
  call.Set(0, stated != 0 ? stated : call.In(1).element, call.In(0).shape);
}

void DynamicQuantize(OpCall& call) {
  call.Set(0, kUint8, call.In(0).shape);
  call.Set(1, kFloat, Shape{});
  call.Set(2, kUint8, Shape{});
}

// Weights stay small in memory and are widened in every run.
constexpr OpRule kRules[] = {
    {"DequantizeLinear", Dequantize, PerOutput<2>, kEveryRun},
    {"DynamicQuantizeLinear", DynamicQuantize, PerOutput<3>},
    {"QuantizeLinear", Quantize, PerOutput<2>},
};

}  // namespace

std::span<const OpRule> QuantizationRules() { return kRules; }

}  // namespace orchard::place::onnx
