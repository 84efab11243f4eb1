#include "segment/template_network.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "io/torch/tensors.h"
#include "nn/random_tensor.h"
#include "segment/instance_norm.h"

namespace orchard::segment {
namespace {

using volume::Size3;

constexpr double kSlope = 0.01;  // of the leaky ReLU
constexpr double kResidual = 0.1;

// Sizes i, j, k in the order of tensors.
std::vector<int64_t> Kji(const Size3& size) { return {size[2], size[1], size[0]}; }

// [B, C, K, J, I], channels-last, as [B, N, C], and back. Views.
at::Tensor AsTokens(const at::Tensor& map) {
  return map.contiguous(at::MemoryFormat::ChannelsLast3d).permute({0, 2, 3, 4, 1}).flatten(1, 3);
}
at::Tensor AsMap(const at::Tensor& tokens, const at::Tensor& like) {
  return tokens.view({like.size(0), like.size(2), like.size(3), like.size(4), tokens.size(2)})
      .permute({0, 4, 1, 2, 3});
}

// Attention computes in f32 whatever its inputs are.
at::Tensor Wide(const at::Tensor& x) { return x.element_size() == 2 ? x.to(at::kFloat) : x; }
// In context: logits [B K, N] of each class against the rest as [B, N, K + 1] with 0 for the
// background.
at::Tensor AgainstTheRest(const at::Tensor& logits, int64_t batch) {
  const at::Tensor own = logits.view({batch, -1, logits.size(1)}).transpose(1, 2);
  return at::cat({at::zeros_like(own.narrow(2, 0, 1)), own}, 2);
}

std::string StageName(const std::string& encoder, size_t stage, int block) {
  return encoder + ".stages." + std::to_string(stage) + "." + std::to_string(block);
}

}  // namespace

TemplateNetwork::TemplateNetwork(const Plan& plan, const NetworkOptions& options, uint64_t seed)
    : plan_(plan), options_(options), levels_(FusedLevels(options, plan)), seed_(seed) {
  if (in_context() && !uses_template()) {
    throw UsageError("a network in context needs a template", "model.attention",
                     "--mode joint trains a network without");
  }
  const auto m = static_cast<int64_t>(plan.channels.size());
  AddEncoder("image", false, m);
  if (uses_template()) {
    const int64_t passes = options.mode == TemplateMode::kJoint ? plan.classes() : 1;
    int64_t channels = m;
    if (options.foreground != ForegroundInput::kMask) channels += m * passes;
    if (options.foreground != ForegroundInput::kRegion) channels += passes;
    AddEncoder("template", options.share == EncoderShare::kAllButStem, channels,
               FirstTemplateStage());
    for (const int64_t level : levels_) AddFusion(level);
  }
  AddDecoder();
}

void TemplateNetwork::AddConvolution(const std::string& name, int64_t out, int64_t in,
                                     const Size3& kernel) {
  const auto fan_in = static_cast<double>(in * volume::Voxels(kernel));
  const double deviation = std::sqrt(2 / (1 + kSlope * kSlope) / fan_in);
  const std::vector<int64_t> shape = {out, in, kernel[2], kernel[1], kernel[0]};
  const std::string weight = name + ".weight", bias = name + ".bias";
  parameters_.Add({weight, weight, nn::RandomNormal(weight, shape, deviation, seed_, at::kFloat)});
  parameters_.Add({bias, bias, at::zeros({out})});
}

void TemplateNetwork::AddNorm(const std::string& name, int64_t channels) {
  parameters_.Add({name + ".weight", name + ".weight", at::ones({channels})});
  parameters_.Add({name + ".bias", name + ".bias", at::zeros({channels})});
  if (!classic()) return;
  parameters_.Add({name + ".mean", name + ".mean", at::zeros({channels}), true});
  parameters_.Add({name + ".variance", name + ".variance", at::ones({channels}), true});
}

void TemplateNetwork::AddLinear(const std::string& name, int64_t out, int64_t in) {
  const double deviation = std::sqrt(2 / (1 + kSlope * kSlope) / static_cast<double>(in));
  const std::string weight = name + ".weight", bias = name + ".bias";
  parameters_.Add(
      {weight, weight, nn::RandomNormal(weight, {out, in}, deviation, seed_, at::kFloat)});
  parameters_.Add({bias, bias, at::zeros({out})});
}

void TemplateNetwork::AddEncoder(const std::string& name, bool stem_only, int64_t channels_in,
                                 size_t first) {
  int64_t in = channels_in;
  for (size_t s = first; s < plan_.stages.size(); ++s) {
    const Stage& stage = plan_.stages[s];
    for (int block = 0; block < 2; ++block) {
      const std::string at = StageName(name, s, block);
      AddConvolution(at + ".conv", stage.channels, in, stage.kernel);
      AddNorm(at + ".norm", stage.channels);
      in = stage.channels;
      if (stem_only) return;
    }
  }
}

int64_t TemplateNetwork::SimilarityChannels() const {
  return options_.mode == TemplateMode::kJoint ? plan_.classes() : 2;
}

void TemplateNetwork::AddFusion(int64_t level) {
  const std::string name = "fuse." + std::to_string(level);
  const int64_t channels = plan_.stages[static_cast<size_t>(level)].channels;
  const bool attends = options_.attention != AttentionKind::kNone;
  if (attends) {
    const int64_t keys = std::min(channels, options_.key_channels);
    AddLinear(name + ".q", keys, channels);
    AddLinear(name + ".k", keys, channels);
    AddLinear(name + ".v", channels, channels);
    parameters_.Add({name + ".theta", name + ".theta", at::full({1}, std::log(options_.tau)),
                     !options_.learn_tau});
    parameters_.Add({name + ".beta", name + ".beta", at::full({1}, options_.tau)});
  }
  const int64_t met = channels + (attends ? SimilarityChannels() : 0);
  if (options_.fuse == Fusion::kConcat) {
    AddLinear(name + ".project", channels, channels + met);
    AddNorm(name + ".norm", channels);
  } else {
    AddLinear(name + ".project", channels, met);
    parameters_.Add({name + ".gamma", name + ".gamma", at::full({1}, kResidual)});
  }
}

void TemplateNetwork::AddDecoder() {
  for (size_t s = plan_.stages.size() - 1; s-- > 0;) {
    const Stage& stage = plan_.stages[s];
    const Stage& below = plan_.stages[s + 1];
    const std::string name = "decoder." + std::to_string(s);
    // Kernel = stride; stored [in, out, ...], so that the fan-in of an output is `in`.
    const std::vector<int64_t> shape = {below.channels, stage.channels, below.stride[2],
                                        below.stride[1], below.stride[0]};
    const double deviation =
        std::sqrt(2 / (1 + kSlope * kSlope) / static_cast<double>(below.channels));
    const std::string up = name + ".up.weight";
    if (!classic()) {
      parameters_.Add({up, up, nn::RandomNormal(up, shape, deviation, seed_, at::kFloat)});
      parameters_.Add({name + ".up.bias", name + ".up.bias", at::zeros({stage.channels})});
    }
    const int64_t met = stage.channels + (classic() ? below.channels : stage.channels);
    for (int block = 0; block < 2; ++block) {
      const std::string at = name + "." + std::to_string(block);
      AddConvolution(at + ".conv", stage.channels, block == 0 ? met : stage.channels, stage.kernel);
      AddNorm(at + ".norm", stage.channels);
    }
    AddLinear(name + ".head", HeadChannels(), stage.channels);
  }
}

void TemplateNetwork::Load(const std::filesystem::path& safetensors) {
  const auto checkpoint = io::Checkpoint::Open(safetensors);
  for (const nn::Parameter& p : parameters_.all()) {
    const at::Tensor stored = io::ReadTensor(checkpoint, p.name);
    if (stored.sizes() != p.value.sizes() || !stored.is_floating_point()) {
      throw DataError("'" + p.name + "' is of another network", safetensors.string());
    }
    const c10::NoGradGuard no_gradient;
    p.value.copy_(stored);
  }
}

void TemplateNetwork::Save(const std::filesystem::path& safetensors) const {
  std::map<std::string, at::Tensor> tensors;
  for (const nn::Parameter& p : parameters_.all()) tensors[p.name] = p.value.detach();
  io::SaveTensors(safetensors, tensors);
}

void TemplateNetwork::MoveTo(c10::Device device) {
  nn::Parameters moved;
  for (nn::Parameter p : parameters_.all()) {
    p.value = p.value.detach().to(device);
    moved.Add(std::move(p));
  }
  parameters_ = std::move(moved);
}

std::string TemplateNetwork::Arithmetic() const {
  return (device().is_cpu() ? "cpu " : "cuda ") + std::string(c10::toString(compute_));
}

at::Tensor TemplateNetwork::Rounded(const std::string& name) const {
  return Get(name).to(compute_);
}

at::Tensor TemplateNetwork::Normalised(const at::Tensor& x, const std::string& name) const {
  const at::Tensor weight = Get(name + ".weight"), bias = Get(name + ".bias");
  if (!classic()) return InstanceNormLeakyRelu(x, weight, bias, kSlope);
  return at::batch_norm(x, weight, bias, Get(name + ".mean"), Get(name + ".variance"), training_,
                        0.1, 1e-5, false)
      .relu();
}

at::Tensor TemplateNetwork::Block(const at::Tensor& input, const std::string& name,
                                  const Size3& kernel, const Size3& stride) const {
  const bool pools = classic() && volume::Voxels(stride) > 1;
  const at::Tensor x = pools ? at::max_pool3d(input, Kji(stride)) : input;
  const std::vector<int64_t> strides = Kji(pools ? Size3{1, 1, 1} : stride);
  const std::vector<int64_t> padding = {kernel[2] / 2, kernel[1] / 2, kernel[0] / 2};
  const at::Tensor weight =
      Rounded(name + ".conv.weight").contiguous(at::MemoryFormat::ChannelsLast3d);
  const at::Tensor y =
      at::conv3d(x.to(compute_), weight, Rounded(name + ".conv.bias"), strides, padding);
  return Normalised(y, name + ".norm");
}

at::Tensor TemplateNetwork::Linear(const at::Tensor& tokens, const std::string& name) const {
  return at::linear(tokens.to(compute_), Rounded(name + ".weight"), Rounded(name + ".bias"));
}

std::vector<at::Tensor> TemplateNetwork::Encode(const at::Tensor& input, const std::string& stem,
                                                const std::string& rest, size_t first) const {
  std::vector<at::Tensor> features(first);
  at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast3d);
  for (size_t s = first; s < plan_.stages.size(); ++s) {
    const Stage& stage = plan_.stages[s];
    for (int block = 0; block < 2; ++block) {
      const bool is_stem = s == first && block == 0;
      x = Block(x, StageName(is_stem ? stem : rest, s, block), stage.kernel,
                block == 0 ? stage.stride : Size3{1, 1, 1});
    }
    features.push_back(x);
  }
  return features;
}

std::vector<at::Tensor> TemplateNetwork::EncodeImage(const at::Tensor& image) const {
  return Encode(image, "image", "image");
}

at::Tensor TemplateNetwork::TemplateInput(const at::Tensor& image, const at::Tensor& labels,
                                          std::span<const int64_t> classes) const {
  const bool joint = options_.mode == TemplateMode::kJoint;
  std::vector<at::Tensor> regions, masks;
  for (const int64_t c : classes) {
    masks.push_back((labels == c).to(image.scalar_type()).unsqueeze(1));
    regions.push_back(image * masks.back());
  }
  const auto pass = [&](const std::vector<at::Tensor>& of_regions,
                        const std::vector<at::Tensor>& of_masks) {
    std::vector<at::Tensor> parts = {image};
    if (options_.foreground != ForegroundInput::kMask)
      parts.insert(parts.end(), of_regions.begin(), of_regions.end());
    if (options_.foreground != ForegroundInput::kRegion)
      parts.insert(parts.end(), of_masks.begin(), of_masks.end());
    return at::cat(parts, 1);
  };
  if (joint) return pass(regions, masks);
  std::vector<at::Tensor> passes;
  for (size_t c = 0; c < masks.size(); ++c) passes.push_back(pass({regions[c]}, {masks[c]}));
  return at::stack(passes, 1).flatten(0,
                                      1);  // [B K, ...]: the classes of an image follow each other
}

// Pass k has the tokens of class k; the background is all passes' together.
TemplateTokens TemplateNetwork::PerClassTokens(const TemplateTokens& t, int64_t batch) const {
  const int64_t n = t.mu.size(2), passes = plan_.classes();
  const at::Tensor mu = at::zeros({batch, passes + 1, passes, n}, t.mu.options());
  for (int64_t c = 1; c <= passes; ++c) {
    mu.select(1, c).select(1, c - 1).copy_(t.mu.select(1, c));
    mu.select(1, 0).select(1, c - 1).copy_(t.mu.select(1, 0) / static_cast<double>(passes));
  }
  return {t.k.reshape({batch, passes * n, t.k.size(2)}),
          t.v.reshape({batch, passes * n, t.v.size(2)}), mu.flatten(2)};
}

std::vector<TemplateTokens> TemplateNetwork::EncodeTemplate(const at::Tensor& image,
                                                            const at::Tensor& labels,
                                                            std::span<const int64_t> asked) const {
  std::vector<int64_t> classes(asked.begin(), asked.end());
  if (!in_context() || classes.empty()) {
    classes.resize(static_cast<size_t>(plan_.classes()));
    std::iota(classes.begin(), classes.end(), int64_t{1});
  }
  const bool shared = options_.share == EncoderShare::kAllButStem;
  const std::vector<at::Tensor> features =
      Encode(TemplateInput(image, labels, classes), "template", shared ? "image" : "template",
             FirstTemplateStage());
  at::Tensor map_of_labels = labels;
  if (in_context()) {
    std::vector<at::Tensor> own;
    for (const int64_t c : classes) own.push_back((labels == c).to(at::kByte));
    map_of_labels = at::stack(own, 1).flatten(0, 1);
  }
  const int64_t areas = in_context() ? 2 : plan_.classes() + 1;
  std::vector<TemplateTokens> levels;
  for (const int64_t level : levels_) {
    const at::Tensor& g = features[static_cast<size_t>(level)];
    const at::Tensor map = AsTokens(g);
    const std::string name = "fuse." + std::to_string(level);
    TemplateTokens tokens;
    const bool attends = options_.attention != AttentionKind::kNone;
    tokens.v = attends ? Linear(map, name + ".v") : map;
    tokens.k = attends ? Linear(map, name + ".k") : map;
    tokens.mu = ClassAreas(map_of_labels, areas, {g.size(2), g.size(3), g.size(4)});
    if (options_.mode == TemplateMode::kPerClass) tokens = PerClassTokens(tokens, image.size(0));
    levels.push_back(std::move(tokens));
  }
  return levels;
}

at::Tensor TemplateNetwork::Tau(int64_t level) const {
  return Get("fuse." + std::to_string(level) + ".theta").exp().clamp_max(options_.tau_max);
}

AttentionResult TemplateNetwork::Attend(size_t at, const at::Tensor& features,
                                        const TemplateTokens& of_template) const {
  const int64_t level = levels_[at];
  const std::string name = "fuse." + std::to_string(level);
  const int64_t passes = of_template.k.size(0) / features.size(0);
  if (options_.attention == AttentionKind::kNone) {
    // The template's features at the same place; of several templates their mean.
    const int64_t cells = features.size(2) * features.size(3) * features.size(4);
    const at::Tensor& v = of_template.v;
    return {v.view({v.size(0), -1, cells, v.size(2)}).mean(1), {}, {}};
  }
  at::Tensor q = Queries(at, features);
  if (passes > 1) q = q.repeat_interleave(passes, 0);
  const TemplateTokens tokens{Wide(of_template.k), Wide(of_template.v), of_template.mu};
  const at::Tensor tau = Tau(level), beta = Get(name + ".beta");
  switch (options_.attention) {
    case AttentionKind::kPrototype:
      return PrototypeAttention(q, tokens, tau);
    case AttentionKind::kMean:
      return MeanAttention(q, tokens);
    case AttentionKind::kDot:
      return DotAttention(q, tokens);
    case AttentionKind::kWindow: {
      const std::vector<int64_t> cells = {features.size(2), features.size(3), features.size(4)};
      at::Tensor near = NearCells(cells, cells, options_.window);
      near = near.repeat({1, tokens.k.size(1) / near.size(1)}).to(q.device());
      return ComposedCosineAttention(q, tokens, tau, beta, {}, near);
    }
    default:
      return CosineAttention(q, tokens, tau, beta);
  }
}

at::Tensor TemplateNetwork::Queries(size_t at, const at::Tensor& features) const {
  return Wide(Linear(AsTokens(features), "fuse." + std::to_string(levels_[at]) + ".q"));
}

double TemplateNetwork::tau(size_t at) const { return Tau(levels_[at]).item<double>(); }

double TemplateNetwork::beta(size_t at) const {
  return Get("fuse." + std::to_string(levels_[at]) + ".beta").item<double>();
}

StreamedAttention TemplateNetwork::Stream(size_t at, const at::Tensor& features,
                                          int64_t passes) const {
  at::Tensor q = Queries(at, features);
  if (passes > 1) q = q.repeat_interleave(passes, 0);
  return {q, Tau(levels_[at]), Get("fuse." + std::to_string(levels_[at]) + ".beta")};
}

at::Tensor TemplateNetwork::SimilarityLogits(size_t at, const AttentionResult& attended,
                                             int64_t batch) const {
  const std::string name = "fuse." + std::to_string(levels_[at]);
  const at::Tensor logits = Get(name + ".beta") * attended.similarity;
  if (!in_context()) return logits;
  return AgainstTheRest(logits.select(2, 1) - logits.select(2, 0), batch);
}

at::Tensor TemplateNetwork::Fuse(size_t at, const at::Tensor& features, const AttentionResult& a,
                                 int64_t batch, Decoded& decoded) const {
  const std::string name = "fuse." + std::to_string(levels_[at]);
  const at::Tensor f = AsTokens(features);
  at::Tensor met = a.context;
  if (a.similarity.defined()) {
    const at::Tensor own = a.similarity.narrow(2, 1, a.similarity.size(2) - 1);
    const at::Tensor sigma = options_.mode == TemplateMode::kJoint
                                 ? own
                                 : at::cat({own.amax(2, true), a.similarity.narrow(2, 0, 1)}, 2);
    met = at::cat({a.context, sigma}, 2).to(f.scalar_type());
    decoded.similarity_logits.push_back(SimilarityLogits(at, a, batch));
    decoded.weight.push_back(a.weight);
  }
  if (options_.fuse == Fusion::kResidual) {
    const at::Tensor sum = f + Get(name + ".gamma") * Linear(met, name + ".project");
    return AsMap(sum.to(f.scalar_type()), features);
  }
  const at::Tensor y = AsMap(Linear(at::cat({f, met}, 2), name + ".project"), features);
  return Normalised(y, name + ".norm");
}

Decoded TemplateNetwork::Decode(const std::vector<at::Tensor>& features,
                                const std::vector<TemplateTokens>& tokens, bool deep) const {
  std::vector<AttentionResult> attended;
  for (size_t at = 0; at < levels_.size(); ++at)
    attended.push_back(Attend(at, features[static_cast<size_t>(levels_[at])], tokens[at]));
  return DecodeAttended(features, attended, deep);
}

Decoded TemplateNetwork::DecodeAttended(const std::vector<at::Tensor>& features,
                                        const std::vector<AttentionResult>& attended, bool deep,
                                        bool head) const {
  Decoded decoded;
  std::vector<at::Tensor> fused = features;
  const int64_t batch = features.front().size(0);
  if (in_context()) {
    const int64_t passes = attended.front().context.size(0) / batch;
    for (at::Tensor& map : fused) map = map.repeat_interleave(passes, 0);
  }
  for (size_t at = 0; at < levels_.size(); ++at) {
    at::Tensor& map = fused[static_cast<size_t>(levels_[at])];
    map = Fuse(at, map, attended[at], batch, decoded);
  }
  at::Tensor x = fused.back();
  for (size_t s = plan_.stages.size() - 1; s-- > 0;) {
    const std::string name = "decoder." + std::to_string(s);
    const std::vector<int64_t> stride = Kji(plan_.stages[s + 1].stride);
    const at::Tensor up =
        classic()
            ? at::upsample_trilinear3d(x, fused[s].sizes().slice(2), false)
            : at::conv_transpose3d(
                  x, Rounded(name + ".up.weight").contiguous(at::MemoryFormat::ChannelsLast3d),
                  Rounded(name + ".up.bias"), stride);
    x = at::cat({up, fused[s]}, 1);
    for (int block = 0; block < 2; ++block) {
      x = Block(x, name + "." + std::to_string(block), plan_.stages[s].kernel, {1, 1, 1});
    }
    if (s > 0 && !deep) continue;
    if (!head) {
      decoded.logits = {Wide(x)};
      continue;
    }
    at::Tensor logits = Wide(Linear(AsTokens(x), name + ".head"));
    if (in_context()) {
      logits = AgainstTheRest(logits.squeeze(2), batch);  // [B, N, K + 1]
      decoded.logits.insert(decoded.logits.begin(), AsMap(logits, x.narrow(0, 0, batch)));
    } else {
      decoded.logits.insert(decoded.logits.begin(), AsMap(logits, x));
    }
  }
  return decoded;
}

at::Tensor TemplateNetwork::Head(const at::Tensor& x) const {
  return at::addmm(Get("decoder.0.head.bias").unsqueeze(1), Get("decoder.0.head.weight"), Wide(x));
}

std::vector<TemplateTokens> Concatenate(const std::vector<std::vector<TemplateTokens>>& templates) {
  if (templates.size() == 1) return templates.front();
  std::vector<TemplateTokens> all(templates.front().size());
  for (size_t level = 0; level < all.size(); ++level) {
    std::vector<at::Tensor> k, v, mu;
    for (const std::vector<TemplateTokens>& t : templates) {
      k.push_back(t[level].k);
      v.push_back(t[level].v);
      mu.push_back(t[level].mu);
    }
    all[level] = {at::cat(k, 1), at::cat(v, 1), at::cat(mu, 2)};
  }
  return all;
}

}  // namespace orchard::segment
