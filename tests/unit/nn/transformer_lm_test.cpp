#include "nn/transformer_lm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace orchard::nn {
namespace {

const TransformerLmOptions kSmall{.vocabulary = 50, .context = 12, .seed = 3};

TEST(TransformerLm, HasTheTensorsOfGpt2OnceEach) {
  // GPT-2 small itself: 124,439,808 with its 50,257 tokens and 1,024 places. Here by the same sum.
  const int64_t v = 50, t = 12, d = 8, layers = 2;
  const int64_t block = 12 * d * d + 13 * d;  // qkv, out, two of the MLP; biases and two norms
  const auto model = MakeTransformerLm("gpt2:2-8-2", kSmall);
  EXPECT_EQ(model->parameters().elements(), v * d + t * d + layers * block + 2 * d);
  EXPECT_FALSE(model->parameters().Has("head.weight"));  // tied to the embedding
}

TEST(TransformerLm, GivesARowOfLogitsPerTokenFromWhatIsBeforeIt) {
  const at::NoGradGuard no_grad;
  const auto model = MakeTransformerLm("gpt2:2-8-2", kSmall);
  const at::Tensor tokens = at::randint(50, {3, 12}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor logits = model->Forward(tokens, true);
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{36, 50}));
  at::Tensor other = tokens.clone();
  other.select(1, 7).fill_(1);
  other.select(1, 8).fill_(2);
  const at::Tensor apart = model->Forward(other, true).view({3, 12, 50});
  const at::Tensor before = logits.view({3, 12, 50});
  EXPECT_TRUE(apart.slice(1, 0, 7).equal(before.slice(1, 0, 7)));
  EXPECT_FALSE(apart.slice(1, 8, 9).equal(before.slice(1, 8, 9)));
}

TEST(TransformerLm, IsTheSameForASeed) {
  const auto a = MakeTransformerLm("gpt2:1-8-2", kSmall),
             b = MakeTransformerLm("gpt2:1-8-2", kSmall);
  TransformerLmOptions another = kSmall;
  another.seed = 4;
  const auto c = MakeTransformerLm("gpt2:1-8-2", another);
  const auto embedding = [](const auto& model) { return model->parameters().Get("embed.token"); };
  EXPECT_TRUE(embedding(a).equal(embedding(b)));
  EXPECT_FALSE(embedding(a).equal(embedding(c)));
}

TEST(TransformerLm, RefusesTextsThatAreNoSizes) {
  for (const char* text : {"", "gpt2", "gpt2:", "gpt2:2-8", "gpt2:2-8-3", "gpt2:2-8-2-1",
                           "gpt2:0-8-2", "gpt2:2-8-2x", "gpt3:2-8-2", "mlp:784-10"}) {
    EXPECT_THROW(MakeTransformerLm(text, kSmall), UsageError) << text;
  }
}

}  // namespace
}  // namespace orchard::nn
