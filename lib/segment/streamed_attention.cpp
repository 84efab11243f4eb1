#include "segment/streamed_attention.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace orchard::segment {

void StreamedAttention::Add(const TemplateTokens& tokens) {
  const c10::NoGradGuard no_gradient;
  // As attention, in f32 whatever the tokens are.
  const auto wide = [](const at::Tensor& x) {
    return x.element_size() == 2 ? x.to(at::kFloat) : x;
  };
  ClassSums sums = SumClasses(q_, {wide(tokens.k), wide(tokens.v), tokens.mu}, tau_);
  sums.context.mul_(sums.mass.unsqueeze(-1));
  if (!mass_.defined()) {
    mass_ = sums.mass;
    context_ = sums.context;
    area_ = sums.area;
    return;
  }
  mass_.add_(sums.mass);
  context_.add_(sums.context);
  area_ = area_ + sums.area;
}

AttentionResult StreamedAttention::Finish() const {
  const c10::NoGradGuard no_gradient;
  const at::Tensor area = area_.unsqueeze(1);  // [B, 1, K + 1]
  const at::Tensor present = (area > 0).expand_as(mass_);
  const at::Tensor mass = at::where(present, mass_, at::ones_like(mass_));
  const at::Tensor sigma =
      1 + at::log(mass / at::where(area > 0, area, at::ones_like(area))) / tau_;
  const at::Tensor similarity = at::where(present, sigma, at::full_like(sigma, -1));
  const at::Tensor weight = ClassSoftmax(beta_ * similarity, area_);
  const at::Tensor context = at::matmul((weight / mass).unsqueeze(2), context_).squeeze(2);
  return {context, similarity, weight};
}

}  // namespace orchard::segment
