// Dropout and drop-path of fused_ops.h.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/composed_ops.h"
#include "nn/dropout.h"
#include "nn/fused_launch.h"
#include "nn/fused_ops.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/nn/dropout.h"
#endif

namespace orchard::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DropoutSettings {
  int64_t group;
  double probability;
  DropoutRandom random;
};

at::Tensor Apply(const at::Tensor& input, const at::Tensor& residual_input,
                 const DropoutSettings& settings) {
  const at::Tensor x = input.contiguous();
  const at::Tensor residual = residual_input.defined() ? residual_input.contiguous() : at::Tensor();
  const at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
  DropoutArgs args;
  args.type = FloatTypeOf(x, "Dropout", "x");
  args.count = x.numel();
  args.group = settings.group;
  args.probability = settings.probability;
  args.key = settings.random.key;
  args.stream = settings.random.stream;
  args.x = x.const_data_ptr();
  args.residual = residual.defined() ? residual.const_data_ptr() : nullptr;
  args.y = y.mutable_data_ptr();
  Launch(x, args, static_cast<void (*)(const DropoutArgs&)>(&Dropout), ORCHARD_KERNEL(Dropout));
  return y;
}

class DropoutFunction : public torch::autograd::Function<DropoutFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& residual,
                            const DropoutSettings& settings) {
    const auto integer = [](uint64_t bits) { return static_cast<int64_t>(bits); };
    context->saved_data["group"] = settings.group;
    context->saved_data["probability"] = settings.probability;
    context->saved_data["key0"] = integer(settings.random.key.word[0]);
    context->saved_data["key1"] = integer(settings.random.key.word[1]);
    context->saved_data["stream"] = integer(settings.random.stream);
    context->saved_data["residual"] = residual.has_value();
    return Apply(x, residual.value_or(at::Tensor()), settings);
  }

  // The same elements are drawn again and scale the gradient.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    RequireFirstOrder("Dropout");
    auto& saved = context->saved_data;
    const auto word = [&](const char* name) { return static_cast<uint32_t>(saved[name].toInt()); };
    const DropoutSettings settings = {
        saved["group"].toInt(),
        saved["probability"].toDouble(),
        {{{word("key0"), word("key1")}}, static_cast<uint64_t>(saved["stream"].toInt())}};
    return {Apply(gradients[0], at::Tensor(), settings),
            saved["residual"].toBool() ? gradients[0] : at::Tensor(), at::Tensor()};
  }
};

at::Tensor Drop(const at::Tensor& x, const at::Tensor& residual, const DropoutSettings& settings) {
  Require(settings.probability >= 0 && settings.probability < 1, "Dropout", "probability",
          "it does not lie in [0, 1)");
  if (settings.probability == 0 || x.numel() == 0) return residual.defined() ? residual + x : x;
  if (HasKernels(x)) return DropoutFunction::apply(x, Optional(residual), settings);
  const at::Tensor dropped =
      composed::Dropout(x, settings.group, settings.probability, settings.random);
  return residual.defined() ? residual + dropped : dropped;
}

}  // namespace

at::Tensor Dropout(const at::Tensor& x, double probability, const DropoutRandom& random) {
  return Drop(x, at::Tensor(), {1, probability, random});
}

at::Tensor DropoutAdd(const at::Tensor& x, const at::Tensor& residual, double probability,
                      const DropoutRandom& random) {
  RequireLike(x, residual, "DropoutAdd", "residual");
  return Drop(x, residual, {1, probability, random});
}

at::Tensor DropPath(const at::Tensor& x, double probability, const DropoutRandom& random) {
  Require(x.dim() >= 1, "DropPath", "x", "there is no dimension of samples");
  const int64_t samples = std::max<int64_t>(1, x.size(0));
  return Drop(x, at::Tensor(), {x.numel() / samples, probability, random});
}

}  // namespace orchard::nn
