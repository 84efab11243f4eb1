#include "segment/cosine_attention.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "segment/attention_element.h"
#include "segment/attention_kernel.h"
#include "segment/attention_launch.h"

namespace orchard::segment {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
AttentionArgs<T> Describe(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& mu, const at::Tensor& prior, double tau, double beta) {
  AttentionArgs<T> args;
  args.batch = q.size(0);
  args.targets = q.size(1);
  args.tokens = k.size(1);
  args.classes = mu.size(1);
  args.key_channels = q.size(2);
  args.value_channels = v.size(2);
  args.q = q.const_data_ptr<T>();
  args.k = k.const_data_ptr<T>();
  args.v = v.const_data_ptr<T>();
  args.mu = mu.const_data_ptr<T>();
  args.prior = prior.const_data_ptr<T>();
  args.tau = static_cast<T>(tau);
  args.beta = static_cast<T>(beta);
  return args;
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& q_in,
                               const at::Tensor& k_in, const at::Tensor& v_in,
                               const at::Tensor& mu_in, const at::Tensor& tau,
                               const at::Tensor& beta, const at::Tensor& prior_in, bool trains) {
    const at::Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
    const at::Tensor mu = mu_in.to(q.scalar_type()).contiguous();
    const at::Tensor prior = prior_in.contiguous();
    const int64_t b = q.size(0), n = q.size(1), c = v.size(2), classes = mu.size(1);
    const at::Tensor out = at::empty({b, n, c}, q.options());
    const at::Tensor similarity = at::empty({b, n, classes}, q.options());
    const at::Tensor weight = at::empty_like(similarity);
    const at::Tensor mass = trains ? at::empty_like(similarity) : at::Tensor();
    const at::Tensor own = trains ? at::empty({b, n, classes, c}, q.options()) : at::Tensor();
    AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "CosineAttention", [&] {
      auto args = Describe<scalar_t>(q, k, v, mu, prior, tau.item<double>(), beta.item<double>());
      args.context = out.mutable_data_ptr<scalar_t>();
      args.similarity = similarity.mutable_data_ptr<scalar_t>();
      args.weight = weight.mutable_data_ptr<scalar_t>();
      args.mass = trains ? mass.mutable_data_ptr<scalar_t>() : nullptr;
      args.class_context = trains ? own.mutable_data_ptr<scalar_t>() : nullptr;
      LaunchAttention(q, args);
    });
    if (trains) {
      context->save_for_backward(
          {q, k, v, mu, prior, tau, beta, out, similarity, weight, mass, own});
    }
    context->mark_non_differentiable({weight});
    return {out, similarity, weight};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list s = context->get_saved_variables();
    const at::Tensor &q = s[0], &k = s[1], &v = s[2], &mu = s[3], &prior = s[4], &tau = s[5],
                     &beta = s[6];
    const at::Tensor d_context =
        gradients[0].defined() ? gradients[0].contiguous() : at::zeros_like(s[7]);
    const at::Tensor d_similarity =
        gradients[1].defined() ? gradients[1].contiguous() : at::zeros_like(s[8]);
    const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    const at::Tensor d_prior = at::empty_like(prior);
    at::Tensor d_tau, d_beta;
    AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "CosineAttention", [&] {
      AttentionGradientArgs<scalar_t> args;
      static_cast<AttentionArgs<scalar_t>&>(args) =
          Describe<scalar_t>(q, k, v, mu, prior, tau.item<double>(), beta.item<double>());
      args.context = s[7].mutable_data_ptr<scalar_t>();
      args.similarity = s[8].mutable_data_ptr<scalar_t>();
      args.weight = s[9].mutable_data_ptr<scalar_t>();
      args.mass = s[10].mutable_data_ptr<scalar_t>();
      args.class_context = s[11].mutable_data_ptr<scalar_t>();
      args.d_context = d_context.const_data_ptr<scalar_t>();
      args.d_similarity = d_similarity.const_data_ptr<scalar_t>();
      args.dq = dq.mutable_data_ptr<scalar_t>();
      args.dk = dk.mutable_data_ptr<scalar_t>();
      args.dv = dv.mutable_data_ptr<scalar_t>();
      args.d_prior = d_prior.mutable_data_ptr<scalar_t>();
      LaunchAttentionGradient(q, args);
      d_tau = at::full_like(tau, args.d_tau);
      d_beta = at::full_like(beta, args.d_beta);
    });
    return {dq, dk, dv, at::Tensor(), d_tau, d_beta, d_prior, at::Tensor()};
  }
};

at::Tensor Unit(const at::Tensor& x) {
  return x * (x.square().sum(-1, true) + kNormGuard * kNormGuard).rsqrt();
}

void CheckShapes(const at::Tensor& q, const TemplateTokens& t) {
  const bool fits = q.dim() == 3 && t.k.dim() == 3 && t.v.dim() == 3 && t.mu.dim() == 3 &&
                    q.size(0) == t.k.size(0) && q.size(0) == t.v.size(0) &&
                    q.size(0) == t.mu.size(0) && q.size(2) == t.k.size(2) &&
                    t.k.size(1) == t.v.size(1) && t.k.size(1) == t.mu.size(2);
  if (!fits) throw Error(ExitCode::kInternal, "shapes of attention disagree");
}

}  // namespace

at::Tensor ClassSoftmax(const at::Tensor& logits, const at::Tensor& area) {
  const at::Tensor absent = (area == 0).unsqueeze(1);
  const at::Tensor w =
      at::softmax(logits.masked_fill(absent, -std::numeric_limits<double>::infinity()), -1);
  return at::nan_to_num(w, 0.0);  // where every class is absent
}

ClassSums SumClasses(const at::Tensor& q_in, const TemplateTokens& t, const at::Tensor& tau) {
  CheckShapes(q_in, t);
  const c10::NoGradGuard no_gradient;
  const at::Tensor mu = t.mu.to(q_in.scalar_type()).contiguous();
  const at::Tensor area = mu.sum(-1);
  if (!HasAttentionKernel(q_in)) {
    const at::Tensor e =
        at::exp(tau * (at::matmul(Unit(q_in), Unit(t.k).transpose(1, 2)) - 1));  // [B, N, N']
    const at::Tensor p = e.unsqueeze(2) * mu.unsqueeze(1);  // [B, N, K + 1, N']
    const at::Tensor mass = p.sum(-1);
    const at::Tensor safe = at::where(mass > 0, mass, at::ones_like(mass));
    return {mass, at::matmul(p, t.v.unsqueeze(1)) / safe.unsqueeze(-1), area};
  }
  const at::Tensor q = q_in.contiguous(), k = t.k.contiguous(), v = t.v.contiguous();
  const int64_t b = q.size(0), n = q.size(1), c = v.size(2), classes = mu.size(1);
  const at::Tensor out = at::empty({b, n, c}, q.options());
  const at::Tensor similarity = at::empty({b, n, classes}, q.options());
  const at::Tensor weight = at::empty_like(similarity), mass = at::empty_like(similarity);
  const at::Tensor own = at::empty({b, n, classes, c}, q.options());
  const at::Tensor prior = at::zeros({b, classes}, q.options());
  AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "SumClasses", [&] {
    auto args = Describe<scalar_t>(q, k, v, mu, prior, tau.item<double>(), 1);
    args.context = out.mutable_data_ptr<scalar_t>();
    args.similarity = similarity.mutable_data_ptr<scalar_t>();
    args.weight = weight.mutable_data_ptr<scalar_t>();
    args.mass = mass.mutable_data_ptr<scalar_t>();
    args.class_context = own.mutable_data_ptr<scalar_t>();
    LaunchAttention(q, args);
  });
  return {mass, own, area};
}

AttentionResult CosineAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                const at::Tensor& tau, const at::Tensor& beta,
                                const at::Tensor& prior) {
  CheckShapes(q, tokens);
  if (!HasAttentionKernel(q)) return ComposedCosineAttention(q, tokens, tau, beta, prior);
  const at::Tensor b =
      prior.defined() ? prior : at::zeros({q.size(0), tokens.mu.size(1)}, q.options());
  const variable_list out = AttentionFunction::apply(q, tokens.k, tokens.v, tokens.mu, tau, beta, b,
                                                     c10::GradMode::is_enabled());
  return {out[0], out[1], out[2]};
}

AttentionResult ComposedCosineAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                        const at::Tensor& tau, const at::Tensor& beta,
                                        const at::Tensor& prior, const at::Tensor& near) {
  CheckShapes(q, tokens);
  const at::Tensor mu = tokens.mu.to(q.scalar_type());
  const at::Tensor s = at::matmul(Unit(q), Unit(tokens.k).transpose(1, 2));
  at::Tensor e = at::exp(tau * (s - 1));
  if (near.defined()) e = e * near.to(e.scalar_type());
  const at::Tensor area = mu.sum(-1);  // [B, K + 1]
  std::vector<at::Tensor> contexts, similarities;
  for (int64_t c = 0; c < mu.size(1); ++c) {
    const at::Tensor p = e * mu.select(1, c).unsqueeze(1);
    const at::Tensor mass = p.sum(-1, true);  // [B, N, 1]
    // With a window a target may have no token of a class near it.
    const at::Tensor present = mass > 0;
    const at::Tensor safe = at::where(present, mass, at::ones_like(mass));
    contexts.push_back(at::matmul(p, tokens.v) / safe);
    const at::Tensor area_c = area.select(1, c).view({-1, 1, 1});
    const at::Tensor sigma =
        1 + at::log(safe / at::where(area_c > 0, area_c, at::ones_like(area_c))) / tau;
    similarities.push_back(at::where(present, sigma, at::full_like(sigma, -1)));
  }
  const at::Tensor similarity = at::cat(similarities, -1);
  at::Tensor logits = beta * similarity;
  if (prior.defined()) logits = logits + prior.unsqueeze(1);
  const at::Tensor w = ClassSoftmax(logits, area);
  const at::Tensor context = (at::stack(contexts, 2) * w.unsqueeze(-1)).sum(2);
  return {context, similarity, w.detach()};
}

AttentionResult PrototypeAttention(const at::Tensor& q, const TemplateTokens& tokens,
                                   const at::Tensor& tau) {
  CheckShapes(q, tokens);
  const at::Tensor mu = tokens.mu.to(q.scalar_type());
  const at::Tensor area = mu.sum(-1);
  const at::Tensor share = mu / area.clamp_min(1e-12).unsqueeze(-1);
  const at::Tensor prototype = Unit(at::matmul(share, Unit(tokens.k)));  // [B, K + 1, d]
  const at::Tensor value = at::matmul(share, tokens.v);                  // [B, K + 1, C]
  at::Tensor similarity = at::matmul(Unit(q), prototype.transpose(1, 2));
  similarity = similarity.masked_fill((area == 0).unsqueeze(1), -1);
  const at::Tensor w = ClassSoftmax(tau * similarity, area);
  return {at::matmul(w, value), similarity, w.detach()};
}

AttentionResult MeanAttention(const at::Tensor& q, const TemplateTokens& tokens) {
  CheckShapes(q, tokens);
  const at::Tensor mu = tokens.mu.to(q.scalar_type());
  const at::Tensor unit = Unit(q), keys = Unit(tokens.k);
  // (q k') v' = q (k' v'): the matrix of similarities need not be made.
  const at::Tensor moment =
      at::matmul(keys.transpose(1, 2), tokens.v) / static_cast<double>(keys.size(1));
  const at::Tensor area = mu.sum(-1);
  const at::Tensor mean_key = at::matmul(mu / area.clamp_min(1e-12).unsqueeze(-1), keys);
  at::Tensor similarity = at::matmul(unit, mean_key.transpose(1, 2));
  similarity = similarity.masked_fill((area == 0).unsqueeze(1), -1);
  const at::Tensor share = (area / area.sum(-1, true)).unsqueeze(1).expand_as(similarity);
  return {at::matmul(unit, moment), similarity, share.detach()};
}

AttentionResult DotAttention(const at::Tensor& q, const TemplateTokens& tokens) {
  CheckShapes(q, tokens);
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
  const at::Tensor p = at::softmax(at::matmul(q, tokens.k.transpose(1, 2)) * scale, -1);
  const at::Tensor similarity = at::matmul(p, tokens.mu.to(q.scalar_type()).transpose(1, 2));
  return {at::matmul(p, tokens.v), similarity, similarity.detach()};
}

at::Tensor NearCells(at::IntArrayRef target_cells, at::IntArrayRef template_cells, int64_t reach) {
  at::Tensor near;
  for (size_t a = 0; a < target_cells.size(); ++a) {
    const auto n = static_cast<double>(target_cells[a]);
    const auto m = static_cast<double>(template_cells[a]);
    const at::Tensor x = at::arange(target_cells[a], at::kDouble);
    const at::Tensor y = (at::arange(template_cells[a], at::kDouble) + 0.5) * (n / m) - 0.5;
    const at::Tensor close =
        (x.unsqueeze(1) - y.unsqueeze(0)).abs() <= static_cast<double>(reach);  // [n, m]
    if (a == 0) {
      near = close;
    } else {
      // Kronecker product of booleans.
      near = (near.view({near.size(0), 1, near.size(1), 1}) &
              close.view({1, close.size(0), 1, close.size(1)}))
                 .reshape({near.size(0) * close.size(0), near.size(1) * close.size(1)});
    }
  }
  return near;
}

at::Tensor ClassAreas(const at::Tensor& labels, int64_t classes, at::IntArrayRef cells) {
  const at::Tensor one_hot = at::stack(
      [&] {
        std::vector<at::Tensor> maps;
        for (int64_t c = 0; c < classes; ++c) maps.push_back((labels == c).to(at::kFloat));
        return maps;
      }(),
      1);  // [B, classes, K, J, I]
  std::vector<int64_t> edge;
  for (size_t a = 0; a < 3; ++a)
    edge.push_back(labels.size(static_cast<int64_t>(a) + 1) / cells[a]);
  return at::avg_pool3d(one_hot, edge).flatten(2);
}

}  // namespace orchard::segment
