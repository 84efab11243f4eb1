#include "expand/repro/small_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>

#include "arch/resnet.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "nn/model_directory.h"
#include "nn/network.h"
#include "nn/random_tensor.h"

namespace orchard::expand::repro {
namespace {

nn::Task TaskOf(const nn::TransformerConfig& config) {
  if (config.is_image()) return nn::Task::kClassify;
  return config.causal ? nn::Task::kNextToken : nn::Task::kMaskedTokens;
}

// Away from what a norm starts with; variances stay above zero.
nn::Parameters SpreadResNet(const arch::ResNetShape& shape, const Spread& spread, uint64_t seed) {
  const nn::Parameters initial = nn::InitialiseResNet(shape, seed, at::kDouble);
  nn::Parameters spread_out;
  for (const nn::Parameter& p : initial.all()) {
    at::Tensor value = p.value;
    if (value.dim() == 1) {
      const at::Tensor noise =
          nn::RandomNormal("spread " + p.name, value.sizes(), spread.gains, seed, at::kDouble);
      value = value + (p.name.ends_with(".running_var") ? noise.abs() : noise);
    }
    spread_out.Add({p.name, p.slot, value, p.measured});
  }
  return spread_out;
}

double SpreadOf(const nn::Parameter& parameter, const Spread& spread) {
  if (parameter.value.dim() > 1) return spread.matrices;
  return parameter.slot.find("norm") != std::string::npos ? spread.gains : spread.biases;
}

at::Tensor LogitsOf(const nn::ModelOutput& output) {
  return output.token_logits.defined() ? output.token_logits : output.class_logits;
}

}  // namespace

OneThread::OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
OneThread::~OneThread() { at::set_num_threads(before_); }

void WriteSmallModel(const std::filesystem::path& directory, const arch::Json& config,
                     const Spread& spread, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  if (config.at("model_type") == arch::kResNet) {
    arch::ResNetShape shape = arch::ParseResNetConfig(config, "config.json");
    shape.classes = 7;
    nn::SaveModel(directory, config, SpreadResNet(shape, spread, seed));
    return;
  }
  const auto& architecture = arch::FindArchitecture(config.at("model_type").get<std::string>());
  const nn::TransformerConfig parsed = nn::ParseTransformerConfig(config, architecture.model_type);
  const nn::Parameters initial = nn::InitialiseTransformer(
      architecture, config,
      {.task = TaskOf(parsed), .classes = 7, .seed = seed, .dtype = at::kDouble});
  nn::Parameters spread_out;
  for (const nn::Parameter& p : initial.all()) {
    const at::Tensor noise = nn::RandomNormal("spread " + p.name, p.value.sizes(),
                                              SpreadOf(p, spread), seed, at::kDouble);
    spread_out.Add({p.name, p.slot, p.value + noise});
  }
  nn::SaveModel(directory, config, spread_out);
}

void Expand(const std::filesystem::path& source, const std::filesystem::path& destination,
            const TargetOptions& target, const MethodOptions& method, uint64_t seed) {
  const SourceModel model = OpenModel(source, {});
  const Plan plan = MakePlan(model, target, method);
  ExpandModel(model, plan, method, destination,
              {.seed = seed, .force = true, .hash_sources = false});
}

nn::Batch RandomImages(int64_t channels, int64_t height, int64_t width, uint64_t seed) {
  return {.images = nn::RandomNormal("images", {2, channels, height, width}, 1, seed, at::kDouble)};
}

nn::Batch RandomBatch(const nn::TransformerConfig& config, int64_t length, uint64_t seed) {
  if (config.is_image()) {
    return RandomImages(config.channels, config.image_height, config.image_width, seed);
  }
  const at::Tensor uniform = nn::RandomUniform("tokens", {2, length}, 0.5, seed, at::kDouble) + 0.5;
  return {.tokens = (uniform * static_cast<double>(config.vocab)).floor().to(at::kLong)};
}

at::Tensor Logits(const nn::Transformer& model, const nn::Batch& batch) {
  const c10::NoGradGuard no_grad;
  return LogitsOf(model.Forward(batch));
}

at::Tensor Logits(const std::filesystem::path& model, const nn::Batch& batch,
                  at::ScalarType dtype) {
  nn::Batch input = batch;
  if (input.images.defined()) input.images = input.images.to(dtype);
  const c10::NoGradGuard no_grad;
  return LogitsOf(nn::LoadNetwork(model, dtype, dtype).Forward(input));
}

double RelativeDifference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor from = a.to(at::kDouble), to = b.to(at::kDouble);
  return ((to - from).abs().max() / from.abs().max()).item<double>();
}

}  // namespace orchard::expand::repro
