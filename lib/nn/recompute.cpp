#include "nn/recompute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <utility>

namespace orchard::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Step = std::function<at::Tensor(const at::Tensor&)>;

struct StepHolder : torch::CustomClassHolder {
  explicit StepHolder(Step given) : step(std::move(given)) {}
  Step step;
};

class RecomputeFunction : public torch::autograd::Function<RecomputeFunction> {
 public:
  // Runs without recording, as every custom function does.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& /*anchor*/, const Step& step) {
    context->save_for_backward({x});
    context->saved_data["step"] = c10::IValue::make_capsule(c10::make_intrusive<StepHolder>(step));
    context->saved_data["wanted"] = x.requires_grad();
    return step(x);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::AutoGradMode record(true);
    const auto holder = context->saved_data["step"].toCapsule();
    const bool wanted = context->saved_data["wanted"].toBool();
    const at::Tensor x = context->get_saved_variables()[0].detach().requires_grad_(wanted);
    const at::Tensor y = static_cast<const StepHolder&>(*holder).step(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {wanted ? x.grad() : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recomputed(Step step, const at::Tensor& x, const at::Tensor& anchor) {
  const auto given = anchor.defined() ? std::optional(anchor) : std::nullopt;
  return RecomputeFunction::apply(x, given, step);
}

}  // namespace orchard::nn
