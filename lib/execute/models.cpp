#include "execute/models.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <span>

#include "execute/gnmt_model.h"
#include "execute/script_builder.h"

namespace orchard::execute {
namespace {

std::string Tower(ScriptBuilder& builder, const std::string& name, std::string x,
                  const ModelOptions& options) {
  for (int64_t k = 0; k < options.layers; ++k) {
    x = builder.Linear(fmt::format("{}_linear{}", name, k), x, options.width, options.width);
    if (k + 1 < options.layers) x = builder.Line(fmt::format("torch.relu({})", x));
  }
  return x;
}

// ---- Inception-V3
// ----------------------------------------------------------------------------------

struct ConvShape {
  int64_t out, height = 1, width = 1, stride = 1, pad_height = 0, pad_width = 0;
};

class Inception {
 public:
  explicit Inception(ScriptBuilder& builder) : builder_(builder) {}

  std::string Build(std::string x) {
    const ConvShape stem[] = {{32, 3, 3, 2}, {32, 3, 3}, {64, 3, 3, 1, 1, 1}};
    int64_t channels = 3;
    x = Chain("stem_a", x, channels, stem);
    x = builder_.Line(fmt::format("torch.max_pool2d({}, [3, 3], [2, 2])", x));
    const ConvShape stem_b[] = {{80}, {192, 3, 3}};
    x = Chain("stem_b", x, channels, stem_b);
    x = builder_.Line(fmt::format("torch.max_pool2d({}, [3, 3], [2, 2])", x));
    for (int64_t pool : {32, 64, 64}) x = BlockA(x, channels, pool);
    x = BlockB(x, channels);
    for (int64_t c : {128, 160, 160, 192}) x = BlockC(x, channels, c);
    x = BlockD(x, channels);
    for (int k = 0; k < 2; ++k) x = BlockE(x, channels);
    x = builder_.Line(fmt::format("torch.flatten(torch.adaptive_avg_pool2d({}, [1, 1]), 1)", x));
    return builder_.Linear("classifier", x, channels, 1000);
  }

 private:
  std::string Chain(const std::string& name, std::string x, int64_t& channels,
                    std::span<const ConvShape> convolutions) {
    int k = 0;
    for (const ConvShape& c : convolutions) {
      x = builder_.ConvNormRelu(fmt::format("{}{}", name, k++), x, channels, c.out, c.height,
                                c.width, c.stride, c.pad_height, c.pad_width);
      channels = c.out;
    }
    return x;
  }

  // One branch of the block that is being built.
  void Branch(const std::string& x, int64_t in, std::vector<ConvShape> convolutions) {
    int64_t channels = in;
    parts_.push_back(
        Chain(fmt::format("mixed{}_branch{}_", block_, parts_.size()), x, channels, convolutions));
    total_ += channels;
  }
  std::string AveragePool(const std::string& x) {
    return builder_.Line(fmt::format("torch.avg_pool2d({}, [3, 3], [1, 1], [1, 1])", x));
  }
  void MaxPool(const std::string& x, int64_t channels) {
    parts_.push_back(builder_.Line(fmt::format("torch.max_pool2d({}, [3, 3], [2, 2])", x)));
    total_ += channels;
  }
  std::string Join(int64_t& channels) {
    const std::string joined =
        builder_.Line(fmt::format("torch.cat([{}], 1)", fmt::join(parts_, ", ")));
    channels = total_;
    parts_.clear();
    total_ = 0;
    ++block_;
    return joined;
  }

  std::string BlockA(const std::string& x, int64_t& in, int64_t pool) {
    Branch(x, in, {{64}});
    Branch(x, in, {{48}, {64, 5, 5, 1, 2, 2}});
    Branch(x, in, {{64}, {96, 3, 3, 1, 1, 1}, {96, 3, 3, 1, 1, 1}});
    Branch(AveragePool(x), in, {{pool}});
    return Join(in);
  }
  std::string BlockB(const std::string& x, int64_t& in) {
    Branch(x, in, {{384, 3, 3, 2}});
    Branch(x, in, {{64}, {96, 3, 3, 1, 1, 1}, {96, 3, 3, 2}});
    MaxPool(x, in);
    return Join(in);
  }
  std::string BlockC(const std::string& x, int64_t& in, int64_t c) {
    const auto row = [](int64_t out) { return ConvShape{out, 1, 7, 1, 0, 3}; };
    const auto column = [](int64_t out) { return ConvShape{out, 7, 1, 1, 3, 0}; };
    Branch(x, in, {{192}});
    Branch(x, in, {{c}, row(c), column(192)});
    Branch(x, in, {{c}, column(c), row(c), column(c), row(192)});
    Branch(AveragePool(x), in, {{192}});
    return Join(in);
  }
  std::string BlockD(const std::string& x, int64_t& in) {
    Branch(x, in, {{192}, {320, 3, 3, 2}});
    Branch(x, in, {{192}, {192, 1, 7, 1, 0, 3}, {192, 7, 1, 1, 3, 0}, {192, 3, 3, 2}});
    MaxPool(x, in);
    return Join(in);
  }
  // The last convolution of a branch splits into 1x3 and 3x1.
  void Split(const std::string& x, int64_t channels) {
    Branch(x, channels, {{384, 1, 3, 1, 0, 1}});
    Branch(x, channels, {{384, 3, 1, 1, 1, 0}});
  }
  std::string BlockE(const std::string& x, int64_t& in) {
    Branch(x, in, {{320}});
    int64_t channels = in;
    const ConvShape first[] = {{384}};
    const std::string wide = Chain(fmt::format("mixed{}_split_a", block_), x, channels, first);
    Split(wide, channels);
    channels = in;
    const ConvShape second[] = {{448}, {384, 3, 3, 1, 1, 1}};
    const std::string deep = Chain(fmt::format("mixed{}_split_b", block_), x, channels, second);
    Split(deep, channels);
    Branch(AveragePool(x), in, {{192}});
    return Join(in);
  }

  ScriptBuilder& builder_;
  std::vector<std::string> parts_;
  int64_t total_ = 0;
  int block_ = 0;
};

// ---- Transformer
// -----------------------------------------------------------------------------------

class Transformer {
 public:
  Transformer(ScriptBuilder& builder, const ModelOptions& options)
      : builder_(builder), options_(options) {
    // Sinusoidal positions, and the mask that hides later tokens.
    const int64_t n = options.length;
    const at::Tensor position = at::arange(n, at::kFloat).unsqueeze(1);
    const at::Tensor rate =
        at::exp(at::arange(0, kWidth, 2, at::kFloat) * (-std::log(10000.0) / kWidth));
    const at::Tensor angle = position * rate;
    builder.AddBuffer("positions",
                      at::stack({at::sin(angle), at::cos(angle)}, 2).flatten(1).contiguous());
    builder.AddBuffer("causal", at::full({n, n}, -1e9, at::kFloat).triu(1));
  }

  std::string Build() {
    std::string x = Embed("source_embedding", "source");
    for (int k = 0; k < kLayers; ++k) {
      const std::string name = fmt::format("encoder{}", k);
      x = Residual(name + "_norm_a", x, Attention(name + "_self", x, x, false));
      x = Residual(name + "_norm_b", x, FeedForward(name, x));
    }
    std::string y = Embed("target_embedding", "target");
    for (int k = 0; k < kLayers; ++k) {
      const std::string name = fmt::format("decoder{}", k);
      y = Residual(name + "_norm_a", y, Attention(name + "_self", y, y, true));
      y = Residual(name + "_norm_b", y, Attention(name + "_cross", y, x, false));
      y = Residual(name + "_norm_c", y, FeedForward(name, y));
    }
    return builder_.Linear("projection", y, kWidth, options_.vocabulary, false);
  }

 private:
  static constexpr int64_t kWidth = 512, kInner = 2048, kHeads = 8;
  static constexpr int kLayers = 6;

  std::string Embed(const std::string& name, const std::string& ids) {
    const std::string rows = builder_.Embedding(name, ids, options_.vocabulary, kWidth);
    return builder_.Line(fmt::format("torch.add(torch.mul({}, {}), self.positions)", rows,
                                     std::sqrt(static_cast<double>(kWidth))));
  }
  std::string Residual(const std::string& name, const std::string& x, const std::string& update) {
    return builder_.Norm(name, builder_.Line(fmt::format("torch.add({}, {})", x, update)), kWidth);
  }
  std::string FeedForward(const std::string& name, const std::string& x) {
    const std::string inner = builder_.Linear(name + "_inner", x, kWidth, kInner);
    return builder_.Linear(name + "_outer", builder_.Line(fmt::format("torch.relu({})", inner)),
                           kInner, kWidth);
  }
  std::string Heads(const std::string& x) {
    return builder_.Line(fmt::format("torch.transpose(torch.reshape({}, [{}, {}, {}, {}]), 1, 2)",
                                     x, options_.batch, options_.length, kHeads, kWidth / kHeads));
  }
  std::string Attention(const std::string& name, const std::string& x, const std::string& memory,
                        bool causal) {
    const std::string q = Heads(builder_.Linear(name + "_query", x, kWidth, kWidth));
    const std::string k = Heads(builder_.Linear(name + "_key", memory, kWidth, kWidth));
    const std::string v = Heads(builder_.Linear(name + "_value", memory, kWidth, kWidth));
    std::string score = builder_.Line(
        fmt::format("torch.mul(torch.matmul({}, torch.transpose({}, 2, 3)), 0.125)", q, k));
    if (causal) score = builder_.Line(fmt::format("torch.add({}, self.causal)", score));
    const std::string mixed =
        builder_.Line(fmt::format("torch.matmul(torch.softmax({}, 3), {})", score, v));
    const std::string joined =
        builder_.Line(fmt::format("torch.reshape(torch.transpose({}, 1, 2), [{}, {}, {}])", mixed,
                                  options_.batch, options_.length, kWidth));
    return builder_.Linear(name + "_output", joined, kWidth, kWidth);
  }

  ScriptBuilder& builder_;
  const ModelOptions& options_;
};

}  // namespace

ModelFacts WriteModel(const std::filesystem::path& path, const ModelOptions& options,
                      uint64_t seed) {
  const at::NoGradGuard no_grad;
  ScriptBuilder builder(seed);
  const InputSpec vectors{.shape = {options.batch, options.width}};
  switch (options.model) {
    case ModelKind::kTwoTower: {
      const std::string query = Tower(builder, "query", "query", options);
      const std::string item = Tower(builder, "item", "item", options);
      const std::string score = builder.Line(fmt::format("torch.sum({} * {}, 1)", query, item));
      return builder.Save(path, {"query", "item"}, score, {vectors, vectors});
    }
    case ModelKind::kChain:
      return builder.Save(path, {"x"}, Tower(builder, "layer", "x", options), {vectors});
    case ModelKind::kInceptionV3: {
      const std::string logits = Inception(builder).Build("image");
      return builder.Save(path, {"image"}, logits, {{.shape = {options.batch, 3, 299, 299}}});
    }
    case ModelKind::kGnmt:
    case ModelKind::kTransformerBase:
      break;
  }
  const InputSpec tokens{
      .shape = {options.batch, options.length}, .dtype = "i64", .classes = options.vocabulary};
  const std::string logits = options.model == ModelKind::kGnmt
                                 ? BuildGnmt(builder, options)
                                 : Transformer(builder, options).Build();
  return builder.Save(path, {"source", "target"}, logits, {tokens, tokens});
}

}  // namespace orchard::execute
