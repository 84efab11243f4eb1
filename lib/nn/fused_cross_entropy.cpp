// Cross-entropy of fused_ops.h.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/composed_ops.h"
#include "nn/cross_entropy.h"
#include "nn/fused_launch.h"
#include "nn/fused_ops.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/nn/cross_entropy.h"
#endif

namespace orchard::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class CrossEntropyFunction : public torch::autograd::Function<CrossEntropyFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& target_input, const CrossEntropyOptions& options) {
    const at::Tensor logits = input.contiguous(), targets = target_input.contiguous();
    const auto statistics = logits.options().dtype(StatisticsType(logits));
    const at::Tensor loss = at::empty({logits.size(0)}, statistics);
    const at::Tensor log_sum = at::empty({logits.size(0)}, statistics);
    CrossEntropyForwardArgs args;
    args.type = FloatTypeOf(logits, "CrossEntropy", "logits");
    args.rows = logits.size(0);
    args.classes = logits.size(1);
    args.ignore_index = options.ignore_index;
    args.smoothing = options.label_smoothing;
    args.logits = logits.const_data_ptr();
    args.targets = targets.const_data_ptr<int64_t>();
    args.loss = loss.mutable_data_ptr();
    args.log_sum = log_sum.mutable_data_ptr();
    Launch(logits, args, &CrossEntropyForward, ORCHARD_KERNEL(CrossEntropyForward));
    context->save_for_backward({logits, targets, log_sum});
    context->saved_data["ignore"] = options.ignore_index;
    context->saved_data["smoothing"] = options.label_smoothing;
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    RequireFirstOrder("CrossEntropy");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &logits = saved[0], &targets = saved[1], &log_sum = saved[2];
    const at::Tensor dloss = gradients[0].contiguous(), dlogits = at::empty_like(logits);
    CrossEntropyBackwardArgs args;
    args.type = FloatTypeOf(logits, "CrossEntropy", "logits");
    args.rows = logits.size(0);
    args.classes = logits.size(1);
    args.ignore_index = context->saved_data["ignore"].toInt();
    args.smoothing = context->saved_data["smoothing"].toDouble();
    args.logits = logits.const_data_ptr();
    args.targets = targets.const_data_ptr<int64_t>();
    args.log_sum = log_sum.const_data_ptr();
    args.dloss = dloss.const_data_ptr();
    args.dlogits = dlogits.mutable_data_ptr();
    Launch(logits, args, &CrossEntropyBackward, ORCHARD_KERNEL(CrossEntropyBackward));
    return {dlogits, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor CrossEntropyRows(const at::Tensor& logits, const at::Tensor& targets,
                            const CrossEntropyOptions& options) {
  Require(logits.dim() == 2 && logits.size(1) > 0, "CrossEntropy", "logits",
          "the shape is not [N, C]");
  Require(targets.dim() == 1 && targets.size(0) == logits.size(0), "CrossEntropy", "targets",
          "there is not one target for each row of the logits");
  Require(targets.scalar_type() == at::kLong, "CrossEntropy", "targets", "the dtype is not int64");
  Require(targets.device() == logits.device(), "CrossEntropy", "targets", "the devices differ");
  Require(options.label_smoothing >= 0 && options.label_smoothing < 1, "CrossEntropy",
          "label_smoothing", "it does not lie in [0, 1)");
  if (!HasKernels(logits)) return composed::CrossEntropyRows(logits, targets, options);
  return CrossEntropyFunction::apply(logits, targets, options);
}

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& targets,
                        const CrossEntropyOptions& options) {
  const at::Tensor rows = CrossEntropyRows(logits, targets, options);
  const at::Tensor count = targets.ne(options.ignore_index).sum().clamp_min(1);
  return rows.sum() / count;
}

}  // namespace orchard::nn
