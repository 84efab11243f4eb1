#include "segment/segmentation_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "segment/loss_element.h"
#include "segment/loss_launch.h"

namespace orchard::segment {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
LossArgs<T> Describe(const at::Tensor& logits, const at::Tensor& labels) {
  LossArgs<T> args;
  args.batch = logits.size(0);
  args.classes = logits.size(1);
  args.voxels = labels.numel() / labels.size(0);
  args.image_stride = logits.stride(0);
  args.class_stride = logits.stride(1);
  args.voxel_stride = logits.stride(4);
  args.logits = logits.const_data_ptr<T>();
  args.labels = labels.const_data_ptr<uint8_t>();
  return args;
}

// Sums of all images in each, where Dice is that of the batch.
void Share(std::vector<double>& sums, size_t classes) {
  for (size_t c = 0; c < classes; ++c) {
    double total = 0;
    for (size_t at = c; at < sums.size(); at += classes) total += sums[at];
    for (size_t at = c; at < sums.size(); at += classes) sums[at] = total;
  }
}

struct Evaluated {
  double ce = 0, dice = 0, ce_scale = 0;
  std::vector<double> inside, outside;  // slopes of the weighted loss
};

Evaluated Evaluate(LossSums s, int64_t batch, int64_t classes, const LossWeights& w) {
  Evaluated e;
  double ce = 0, counted = 0;
  for (size_t n = 0; n < s.ce.size(); ++n) {
    ce += s.ce[n];
    counted += static_cast<double>(s.counted[n]);
  }
  e.ce = counted > 0 ? ce / counted : 0;
  e.ce_scale = counted > 0 ? w.ce / counted : 0;
  if (w.batch_dice) {
    for (auto* sums : {&s.intersection, &s.probability, &s.area})
      Share(*sums, static_cast<size_t>(classes));
  }
  e.inside.assign(static_cast<size_t>(batch * classes), 0);
  e.outside = e.inside;
  // One Dice per image and class; with shared sums the images' are alike, and their mean is it.
  const double terms = static_cast<double>(batch * (classes - 1));
  for (int64_t n = 0; n < batch; ++n) {
    for (int64_t c = 1; c < classes; ++c) {
      const auto at = static_cast<size_t>(n * classes + c);
      e.dice -= SoftDice(s.intersection[at], s.probability[at], s.area[at], w.smooth) / terms;
      const auto slope = SoftDiceSlope(s.intersection[at], s.probability[at], s.area[at], w.smooth);
      const double scale = -w.dice / (w.batch_dice ? static_cast<double>(classes - 1) : terms);
      e.inside[at] = scale * slope.inside;
      e.outside[at] = scale * slope.outside;
    }
  }
  return e;
}

class LossFunction : public torch::autograd::Function<LossFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& labels, const LossWeights& weights,
                            LossParts* parts) {
    // Voxels must follow each other at one step: both usual layouts do.
    const bool plain =
        input.is_contiguous() || input.is_contiguous(at::MemoryFormat::ChannelsLast3d);
    const at::Tensor logits = plain ? input : input.contiguous();
    Evaluated e;
    AT_DISPATCH_FLOATING_TYPES(logits.scalar_type(), "SegmentationLoss", [&] {
      e = Evaluate(LaunchSumLoss(logits, Describe<scalar_t>(logits, labels)), logits.size(0),
                   logits.size(1), weights);
    });
    parts->ce = e.ce;
    parts->dice = e.dice;
    context->save_for_backward({logits, labels});
    context->saved_data["ce_scale"] = e.ce_scale;
    context->saved_data["inside"] = e.inside;
    context->saved_data["outside"] = e.outside;
    return at::scalar_tensor(weights.ce * e.ce + weights.dice * e.dice, logits.options());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list s = context->get_saved_variables();
    const double scale = gradients[0].item<double>();
    std::vector<double> inside = context->saved_data["inside"].toDoubleVector();
    std::vector<double> outside = context->saved_data["outside"].toDoubleVector();
    for (double& v : inside) v *= scale;
    for (double& v : outside) v *= scale;
    const at::Tensor d = at::empty_like(s[0]);
    AT_DISPATCH_FLOATING_TYPES(d.scalar_type(), "SegmentationLoss", [&] {
      LaunchLossGradient(s[0], Describe<scalar_t>(s[0], s[1]),
                         scale * context->saved_data["ce_scale"].toDouble(), inside, outside,
                         d.mutable_data_ptr<scalar_t>());
    });
    return {d, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

LossParts SegmentationLoss(const at::Tensor& logits, const at::Tensor& labels,
                           const LossWeights& weights) {
  if (!HasLossKernel(logits)) return ComposedSegmentationLoss(logits, labels, weights);
  LossParts parts;
  parts.total = LossFunction::apply(logits, labels.contiguous(), weights, &parts);
  return parts;
}

LossParts ComposedSegmentationLoss(const at::Tensor& logits, const at::Tensor& labels,
                                   const LossWeights& weights) {
  const int64_t classes = logits.size(1);
  const at::Tensor counted = labels.ne(kIgnoredLabel);
  const at::Tensor target = labels.masked_fill(counted.logical_not(), 0).to(at::kLong);
  const at::Tensor mask = counted.unsqueeze(1).to(logits.scalar_type());
  const at::Tensor log_p = at::log_softmax(logits, 1);
  const at::Tensor nll = -log_p.gather(1, target.unsqueeze(1)) * mask;
  const at::Tensor ce = nll.sum() / mask.sum().clamp_min(1);
  std::vector<int64_t> axes = {2, 3, 4};
  if (weights.batch_dice) axes.insert(axes.begin(), 0);
  const at::Tensor p = log_p.exp() * mask;
  const at::Tensor y =
      at::one_hot(target, classes).permute({0, 4, 1, 2, 3}).to(logits.scalar_type()) * mask;
  const at::Tensor d =
      (2 * (p * y).sum(axes) + weights.smooth) / (p.sum(axes) + y.sum(axes) + weights.smooth);
  const at::Tensor dice = -d.narrow(-1, 1, classes - 1).mean();
  return {weights.ce * ce + weights.dice * dice, ce.item<double>(), dice.item<double>()};
}

}  // namespace orchard::segment
