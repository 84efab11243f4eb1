#include "segment/tune.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "nn/optimizer.h"
#include "segment/sampler.h"
#include "segment/segmentation_loss.h"

namespace orchard::segment {
namespace {

// The whole cases of a bank, each a subject of its own: examples of one name are two examples.
std::vector<PreparedCase> WholeCases(const TemplateBank& bank) {
  std::vector<PreparedCase> cases;
  for (size_t n = 0; n < bank.cases.size(); ++n) {
    cases.push_back(*bank.Open(n));
    cases.back().subject = fmt::format("{}", n);
  }
  return cases;
}

at::Tensor ImageOf(Patch& patch) {
  return at::from_blob(patch.image.data(),
                       {1, patch.channels, patch.size[2], patch.size[1], patch.size[0]},
                       at::kFloat);
}

// The labels as 1, 2, ... in the order of `classes`; the others are background.
at::Tensor LabelsOf(Patch& patch, std::span<const int64_t> classes) {
  std::array<uint8_t, 256> to{};
  for (size_t n = 0; n < classes.size(); ++n)
    to[static_cast<size_t>(classes[n])] = static_cast<uint8_t>(n + 1);
  for (uint8_t& v : patch.labels) v = to[v];
  return at::from_blob(patch.labels.data(), {1, patch.size[2], patch.size[1], patch.size[0]},
                       at::kByte);
}

}  // namespace

bool IsTuned(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  return name.starts_with("fuse.") &&
         (has(".k.") || has(".v.") || name.ends_with(".theta") || name.ends_with(".beta"));
}

TuneResult TuneOnTemplates(TemplateNetwork& network, const TemplateBank& bank,
                           const TuneOptions& options, uint64_t seed) {
  TuneResult result;
  if (options.steps == 0 || !network.uses_template()) return result;
  const double begin = SecondsNow();
  const std::vector<PreparedCase> cases = WholeCases(bank);
  SamplingOptions sampling;
  sampling.p_self = cases.size() == 1 ? 1 : 0;
  const Plan& plan = network.plan();
  const c10::Device device = network.device();
  const Sampler sampler(cases, plan, sampling, AugmentOptions{}, seed);
  std::vector<nn::OptimizedTensor> tuned;
  for (const nn::Parameter& p : network.parameters().all()) {
    if (p.measured || !IsTuned(p.name)) continue;
    tuned.push_back({p.name, p.value, false});
    at::Tensor value = p.value;
    value.requires_grad_(true);
    result.parameters += value.numel();
  }
  nn::OptimizerOptions how;
  how.weight_decay = 0;
  how.clip = 12;
  nn::Optimizer optimizer(tuned, how);
  const LossWeights weights{1, 1, plan.dims == 2};
  const int64_t some = std::max<int64_t>(1, options.steps / 5);
  for (int64_t step = 0; step < options.steps; ++step) {
    Sample sample = sampler.Draw(static_cast<uint64_t>(step));
    std::vector<int64_t> classes;
    for (int64_t label = 1; label <= bank.classes(); ++label) {
      const bool asked = !network.in_context() || bank.Has(sample.template_case, label);
      if (asked) classes.push_back(label);
    }
    optimizer.ClearGradients();
    const at::Tensor labels = LabelsOf(sample.target, classes).to(device);
    const at::Tensor example_labels = LabelsOf(sample.example, classes).to(device);
    // They are 1 to K now.
    for (size_t n = 0; n < classes.size(); ++n) classes[n] = static_cast<int64_t>(n) + 1;
    const auto tokens =
        network.EncodeTemplate(ImageOf(sample.example).to(device), example_labels, classes);
    const Decoded decoded =
        network.Decode(network.EncodeImage(ImageOf(sample.target).to(device)), tokens, false);
    const at::Tensor loss = SegmentationLoss(decoded.logits.front(), labels, weights).total;
    const double value = loss.item<double>();
    if (!std::isfinite(value))
      throw DivergedError("the loss of tuning is not finite", fmt::format("step {}", step + 1),
                          "lower --tune-lr");
    loss.backward();
    const double t = static_cast<double>(step) / static_cast<double>(options.steps);
    optimizer.Step(options.lr * 0.5 * (1 + std::cos(M_PI * t)));
    if (step < some) result.first_loss += value / static_cast<double>(some);
    if (step >= options.steps - some) result.last_loss += value / static_cast<double>(some);
  }
  for (nn::OptimizedTensor& t : tuned) t.value.requires_grad_(false);
  result.seconds = SecondsNow() - begin;
  return result;
}

}  // namespace orchard::segment
