#include "nn/initialise.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "nn/random_tensor.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

Parameters Fresh(const std::string& model_type, const arch::Json& config, Task task,
                 uint64_t seed = 1) {
  return InitialiseTransformer(arch::FindArchitecture(model_type), config,
                               {.task = task, .classes = 3, .seed = seed, .dtype = at::kDouble});
}

TEST(Initialise, NormalHasItsMomentsAndDependsOnNameAndSeed) {
  const at::Tensor x = RandomNormal("a", {200, 500}, 0.02, 1, at::kDouble);
  EXPECT_NEAR(x.mean().item().toDouble(), 0, 4 * 0.02 / std::sqrt(1e5));
  EXPECT_NEAR(x.std().item().toDouble(), 0.02, 0.02 * 4 / std::sqrt(2e5));
  EXPECT_LE(x.abs().max().item().toDouble(), 4.95 * 0.02);
  EXPECT_TRUE(x.equal(RandomNormal("a", {200, 500}, 0.02, 1, at::kDouble)));
  EXPECT_FALSE(x.equal(RandomNormal("b", {200, 500}, 0.02, 1, at::kDouble)));
  EXPECT_FALSE(x.equal(RandomNormal("a", {200, 500}, 0.02, 2, at::kDouble)));
}

TEST(Initialise, GainsAreNeutralAndBiasesZero) {
  const Parameters bert = Fresh("bert", TinyConfig("bert"), Task::kMaskedTokens);
  EXPECT_EQ(MaxDifference(bert.Get("layer.0.attn_norm.weight"),
                          at::ones_like(bert.Get("layer.0.attn_norm.weight"))),
            0);
  EXPECT_EQ(bert.Get("layer.0.q.bias").abs().max().item().toDouble(), 0);
  const Parameters gemma = Fresh("gemma", TinyConfig("gemma"), Task::kNextToken);
  EXPECT_EQ(gemma.Get("layer.0.attn_norm.weight").abs().max().item().toDouble(),
            0);  // gain is 1 + w
}

TEST(Initialise, HeadsFollowTheTask) {
  const Parameters features = Fresh("bert", TinyConfig("bert"), Task::kFeatures);
  EXPECT_FALSE(features.Has("head.bias"));
  EXPECT_EQ(features.all().front().name, "embeddings.word_embeddings.weight");
  const Parameters masked = Fresh("bert", TinyConfig("bert"), Task::kMaskedTokens);
  EXPECT_TRUE(masked.Has("head.bias"));
  EXPECT_FALSE(masked.Has("head.weight"));  // tied
  EXPECT_EQ(masked.all().front().name, "bert.embeddings.word_embeddings.weight");
  const Parameters classifier = Fresh("bert", TinyConfig("bert"), Task::kClassify);
  EXPECT_EQ(classifier.Get("classifier.weight").sizes(), at::IntArrayRef({3, 12}));
  EXPECT_TRUE(classifier.Has("pooler.weight"));
  EXPECT_TRUE(Fresh("llama", TinyConfig("llama"), Task::kNextToken).Has("head.weight"));
  EXPECT_THROW(Fresh("llama", TinyConfig("llama"), Task::kMaskedTokens), UsageError);
}

TEST(Initialise, ResidualProjectionsOfGpt2ShrinkWithDepth) {
  const arch::Json config = Merge(TinyConfig("gpt2"), R"({"n_embd": 96, "n_layer": 8})");
  const Parameters parameters = Fresh("gpt2", config, Task::kNextToken);
  const auto deviation = [&](const char* slot) {
    return parameters.Get(slot).std().item().toDouble();
  };
  EXPECT_NEAR(deviation("layer.3.fc1.weight"), 0.02, 5e-4);
  EXPECT_NEAR(deviation("layer.3.fc2.weight"), 0.02 / 4, 2e-4);
}

TEST(Initialise, BiasesFollowTheConfiguration) {
  EXPECT_FALSE(Fresh("llama", TinyConfig("llama"), Task::kNextToken).Has("layer.0.q.bias"));
  const arch::Json biased =
      Merge(TinyConfig("llama"), R"({"attention_bias": true, "mlp_bias": true})");
  const Parameters with = Fresh("llama", biased, Task::kNextToken);
  EXPECT_TRUE(with.Has("layer.0.o.bias") && with.Has("layer.1.down.bias"));
  const Parameters qwen = Fresh("qwen2", TinyConfig("qwen2"), Task::kNextToken);
  EXPECT_TRUE(qwen.Has("layer.0.k.bias") && !qwen.Has("layer.0.o.bias"));
}

}  // namespace
}  // namespace orchard::nn
