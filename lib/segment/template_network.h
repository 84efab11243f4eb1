// The network: one encoder for the image, one for a labelled template, attention between them, and
// a decoder that sees both.
//
// Source: docs/methods/siamese-seg.md. Feature maps are [B, C, K, J, I], channels-last in memory,
// so that a map is also the list of its tokens [B, N, C] without a copy.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "segment/cosine_attention.h"
#include "segment/network_options.h"
#include "segment/streamed_attention.h"

namespace orchard::segment {

// What the decoder says.
struct Decoded {
  std::vector<at::Tensor> logits;  // [B, K + 1, ...] of decoder stage 0, and with `deep` 1, 2, ...
  // Of each fused level, for the auxiliary loss and the log.
  std::vector<at::Tensor> similarity_logits;  // beta sigma: [B, N, K + 1]
  std::vector<at::Tensor> weight;             // w: [B, N, K + 1]; in context [B K, N, 2]
};

class TemplateNetwork {
 public:
  // Fresh weights: Kaiming normal for leaky ReLU, biases 0, keyed by (seed, name).
  TemplateNetwork(const Plan& plan, const NetworkOptions& options, uint64_t seed);

  bool uses_template() const { return options_.attention != AttentionKind::kOff; }
  const std::vector<int64_t>& levels() const { return levels_; }
  bool in_context() const { return options_.mode == TemplateMode::kInContext; }
  const Plan& plan() const { return plan_; }
  const NetworkOptions& options() const { return options_; }

  // Where it computes: weights move there, and what is given to the functions below must lie there.
  // Before anything holds a parameter.
  void MoveTo(c10::Device device);
  c10::Device device() const { return parameters_.all().front().value.device(); }
  // The type of convolutions and projections (f32 at first); f32 weights are rounded for each use.
  // Norms, attention and what Decode returns stay f32 inside.
  void SetComputeType(at::ScalarType compute) { compute_ = compute; }
  // Classic blocks in training: batch statistics, which move the kept ones. Off by default.
  void SetTraining(bool training) { training_ = training; }

  // "cpu Float": what the bits of a result depend on besides the weights.
  std::string Arithmetic() const;

  nn::Parameters& parameters() { return parameters_; }
  const nn::Parameters& parameters() const { return parameters_; }
  // Replaces the weights. Throws DataError for a tensor that is missing or has another shape.
  void Load(const std::filesystem::path& safetensors);
  void Save(const std::filesystem::path& safetensors) const;

  // image [B, M, K, J, I], sides multiples of the strides. Features of every stage, finest first.
  // They do not depend on the template, nor the tokens below on the image: both can be kept.
  std::vector<at::Tensor> EncodeImage(const at::Tensor& image) const;

  // image as above, labels [B, K, J, I] (u8). Tokens of each fused level. In context `labels` has
  // any number of classes, and each is a template of its own: "the class" against "the rest", as
  // images b K + n of a batch of B K; `classes` are the K that are asked for.
  std::vector<TemplateTokens> EncodeTemplate(const at::Tensor& image, const at::Tensor& labels,
                                             std::span<const int64_t> classes = {}) const;

  // `tokens` of each fused level may be those of several templates, concatenated. In context the
  // decoder runs once for every class; the background's logit is 0, a class's that of it against
  // the rest, so that the order of classes, and which others there are, changes no logit.
  Decoded Decode(const std::vector<at::Tensor>& features, const std::vector<TemplateTokens>& tokens,
                 bool deep) const;
  // From what Attend or a StreamedAttention says of each fused level. Without `head` the only
  // logits are what Head would make them from: [B, C, ...].
  Decoded DecodeAttended(const std::vector<at::Tensor>& features,
                         const std::vector<AttentionResult>& attended, bool deep,
                         bool head = true) const;
  // x [C, N] to logits [K + 1, N]: linear, so that it may come after sums over windows.
  at::Tensor Head(const at::Tensor& x) const;

  // A, sigma and w of one fused level; `at` counts fused levels. In context [B K, N, ...].
  AttentionResult Attend(size_t at, const at::Tensor& features, const TemplateTokens& tokens) const;

  // q of a fused level, [B, N, d], and its tau and beta.
  at::Tensor Queries(size_t at, const at::Tensor& features) const;
  double tau(size_t at) const;
  double beta(size_t at) const;

  // beta sigma of a fused level for the classes 0 to K, [B, N, K + 1], of a batch of B images.
  at::Tensor SimilarityLogits(size_t at, const AttentionResult& attended, int64_t batch) const;

  // The same for templates that come one after the other; `passes` is K in context, else 1.
  bool streams() const { return options_.attention == AttentionKind::kPairwise; }
  StreamedAttention Stream(size_t at, const at::Tensor& features, int64_t passes) const;

 private:
  at::Tensor Get(const std::string& name) const { return parameters_.Get(name); }
  void AddConvolution(const std::string& name, int64_t out, int64_t in,
                      const volume::Size3& kernel);
  void AddNorm(const std::string& name, int64_t channels);
  void AddLinear(const std::string& name, int64_t out, int64_t in);
  void AddEncoder(const std::string& name, bool stem_only, int64_t channels_in, size_t first = 0);
  void AddFusion(int64_t level);
  void AddDecoder();

  bool classic() const { return options_.blocks == Blocks::kClassic; }
  // Norm and activation.
  at::Tensor Normalised(const at::Tensor& x, const std::string& name) const;
  at::Tensor Block(const at::Tensor& x, const std::string& name, const volume::Size3& kernel,
                   const volume::Size3& stride) const;
  at::Tensor Linear(const at::Tensor& tokens, const std::string& name) const;
  // A parameter in the type of the computation.
  at::Tensor Rounded(const std::string& name) const;
  std::vector<at::Tensor> Encode(const at::Tensor& x, const std::string& stem,
                                 const std::string& rest, size_t first = 0) const;
  // The finest stage that the template encoder has.
  size_t FirstTemplateStage() const { return options_.stem == TemplateStem::kStrided ? 1 : 0; }
  at::Tensor TemplateInput(const at::Tensor& image, const at::Tensor& labels,
                           std::span<const int64_t> classes) const;
  TemplateTokens PerClassTokens(const TemplateTokens& passes, int64_t batch) const;
  at::Tensor Tau(int64_t level) const;
  at::Tensor Fuse(size_t at, const at::Tensor& features, const AttentionResult& attended,
                  int64_t batch, Decoded& decoded) const;
  int64_t SimilarityChannels() const;
  int64_t HeadChannels() const { return in_context() ? 1 : plan_.classes() + 1; }

  Plan plan_;
  NetworkOptions options_;
  std::vector<int64_t> levels_;
  uint64_t seed_;
  nn::Parameters parameters_;
  at::ScalarType compute_ = at::kFloat;
  bool training_ = false;
};

// Tokens of several templates as those of one: classes and means see them all.
std::vector<TemplateTokens> Concatenate(const std::vector<std::vector<TemplateTokens>>& templates);

}  // namespace orchard::segment
