#include "nn/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "nn/random_tensor.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

class EveryArchitecture : public testing::TestWithParam<std::string> {};

TEST_P(EveryArchitecture, ReturnsLogitsOfTheRightShape) {
  const Transformer model = TinyModel(GetParam());
  const Batch batch = TinyBatch(model);
  const ModelOutput out = model.Forward(batch);
  if (model.config().is_image()) {
    EXPECT_EQ(out.class_logits.sizes(), at::IntArrayRef({2, 7}));
  } else {
    EXPECT_EQ(out.token_logits.sizes(), at::IntArrayRef({2, 9, 31}));
  }
  EXPECT_TRUE(Logits(out).isfinite().all().item().toBool());
}

TEST_P(EveryArchitecture, LayerByLayerEqualsForward) {
  const Transformer model = TinyModel(GetParam());
  const Batch batch = TinyBatch(model);
  // Every piece has only its own tensors.
  const auto piece = [&](const std::string& prefix) {
    Parameters own;
    for (const Parameter& parameter : model.parameters().all()) {
      const bool in_layer = parameter.slot.starts_with("layer.");
      if (prefix.empty() ? !in_layer : parameter.slot.starts_with(prefix)) own.Add(parameter);
    }
    return Transformer(model.config(), std::move(own), at::kDouble);
  };
  const Transformer ends = piece("");
  const Sequence sequence = ends.Prepare(batch);
  at::Tensor x = ends.Embed(batch);
  for (int64_t i = 0; i < model.config().layers; ++i) {
    x = piece("layer." + std::to_string(i) + ".").Layer(i, x, sequence);
  }
  const at::Tensor whole = Logits(model.Forward(batch));
  EXPECT_EQ(MaxDifference(Logits(ends.Head(x, sequence)), whole), 0);
}

std::vector<at::Tensor> Gradients(Transformer& model, const Batch& batch,
                                  const TrainingContext& context) {
  for (const Parameter& p : model.parameters().all()) at::Tensor(p.value).mutable_grad().reset();
  Logits(model.Forward(batch, &context)).square().sum().backward();
  std::vector<at::Tensor> gradients;
  for (const Parameter& p : model.parameters().all()) gradients.push_back(p.value.grad());
  return gradients;
}

TEST_P(EveryArchitecture, RecomputedLayersHaveTheSameGradients) {
  Transformer model = TinyModel(GetParam());
  model.config().dropout = {.embedding = 0.1, .hidden = 0.2, .attention = 0.3, .path = 0.1};
  const Batch batch = TinyBatch(model);
  // All weights, then only those of the last layer, whose input asks for no gradient.
  const std::string last = "layer." + std::to_string(model.config().layers - 1) + ".";
  for (const std::string& part : {std::string(), last}) {
    for (const Parameter& p : model.parameters().all()) {
      p.value.set_requires_grad(p.slot.starts_with(part));
    }
    const auto kept = Gradients(model, batch, {.seed = 3, .pass = 4});
    const auto again = Gradients(model, batch, {.seed = 3, .pass = 4, .recompute_layers = true});
    for (size_t i = 0; i < kept.size(); ++i) {
      const std::string& slot = model.parameters().all()[i].slot;
      ASSERT_EQ(kept[i].defined(), again[i].defined()) << slot;
      if (kept[i].defined()) {
        EXPECT_EQ(MaxDifference(kept[i], again[i]), 0) << slot;
      }
    }
  }
}

// The derivative of a weighted sum of the logits along a random direction of each parameter, by
// autograd and by differences.
TEST_P(EveryArchitecture, GradientsEqualFiniteDifferences) {
  Transformer model = TinyModel(GetParam());
  const Batch batch = TinyBatch(model, 5);
  const auto objective = [&] {
    const at::Tensor logits = Logits(model.Forward(batch));
    return (logits * RandomNormal("objective", logits.sizes(), 1, 1, at::kDouble)).sum();
  };
  model.parameters().RequireGrad(true);
  objective().backward();
  for (const Parameter& parameter : model.parameters().all()) {
    at::Tensor value = parameter.value;
    ASSERT_TRUE(value.grad().defined()) << parameter.slot;
    const at::NoGradGuard no_grad;
    const double step = 1e-6;
    const at::Tensor direction = RandomNormal(parameter.slot, value.sizes(), 1, 2, at::kDouble);
    value.add_(direction, step);
    const double up = objective().item().toDouble();
    value.add_(direction, -2 * step);
    const double down = objective().item().toDouble();
    value.add_(direction, step);
    const double expected = (up - down) / (2 * step);
    const double actual = (value.grad() * direction).sum().item().toDouble();
    EXPECT_NEAR(actual, expected, 1e-5 * (1 + std::abs(expected))) << parameter.slot;
  }
}

INSTANTIATE_TEST_SUITE_P(, EveryArchitecture, testing::ValuesIn(arch::KnownArchitectures()));

class EveryDecoder : public testing::TestWithParam<const char*> {};

TEST_P(EveryDecoder, PredictsWithoutLookingAhead) {
  const Transformer model = TinyModel(GetParam());
  const Batch batch = TinyBatch(model);
  const at::Tensor before = model.Forward(batch).token_logits;
  Batch changed{.tokens = batch.tokens.clone()};
  changed.tokens.narrow(1, 6, 3).fill_(3);
  const at::Tensor after = model.Forward(changed).token_logits;
  // Not the same bits for a mixture: the changed tokens share matrix products with the others.
  EXPECT_LT(MaxDifference(before.narrow(1, 0, 6), after.narrow(1, 0, 6)), 1e-13);
  EXPECT_GT(MaxDifference(before.narrow(1, 6, 3), after.narrow(1, 6, 3)), 1e-3);
}

TEST_P(EveryDecoder, PaddingOnTheRightChangesNothingBeforeIt) {
  const Transformer model = TinyModel(GetParam());
  const Batch batch = TinyBatch(model, 6);
  Batch padded{.tokens = at::cat({batch.tokens, at::ones({2, 3}, at::kLong)}, 1)};
  padded.attention_mask = at::cat({at::ones({2, 6}, at::kLong), at::zeros({2, 3}, at::kLong)}, 1);
  const at::Tensor expected = model.Forward(batch).token_logits;
  const at::Tensor actual = model.Forward(padded).token_logits.narrow(1, 0, 6);
  EXPECT_LT(MaxDifference(actual, expected), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(, EveryDecoder,
                         testing::Values("llama", "mistral", "gemma2", "olmo2", "gpt2", "gpt_neox",
                                         "opt", "mixtral"));

TEST(Transformer, SlidingWindowHidesWhatIsFurtherBack) {
  // With one layer and a window of 4, the last of 9 positions sees tokens 5 to 8.
  const arch::Json config = Merge(TinyConfig("mistral"), R"({"num_hidden_layers": 1})");
  const Transformer model = TinyModel("mistral", config);
  const Batch batch = TinyBatch(model);
  const auto last = [&](int64_t changed) {
    Batch other{.tokens = batch.tokens.clone()};
    if (changed >= 0) other.tokens.select(1, changed).fill_(3);
    return model.Forward(other).token_logits.select(1, 8);
  };
  const at::Tensor base = last(-1);
  EXPECT_EQ(MaxDifference(last(4), base), 0);
  EXPECT_GT(MaxDifference(last(5), base), 1e-6);
}

TEST(Transformer, EncoderIgnoresMaskedTokens) {
  const Transformer model = TinyModel("bert");
  Batch batch = TinyBatch(model);
  batch.attention_mask = at::ones({2, 9}, at::kLong);
  batch.attention_mask.narrow(1, 6, 3).zero_();
  const at::Tensor before = model.Forward(batch).token_logits.narrow(1, 0, 6);
  batch.tokens = batch.tokens.clone();
  batch.tokens.narrow(1, 6, 3).fill_(3);
  const at::Tensor after = model.Forward(batch).token_logits.narrow(1, 0, 6);
  EXPECT_EQ(MaxDifference(before, after), 0);
}

TEST(Transformer, SharedKeysEqualRepeatedKeys) {
  // Key-value heads copied for each of their queries give an ungrouped model with the same
  // function.
  const Transformer grouped = TinyModel("llama");
  const arch::Json config = Merge(TinyConfig("llama"), R"({"num_key_value_heads": 6})");
  Parameters repeated;
  for (const Parameter& parameter : grouped.parameters().all()) {
    at::Tensor value = parameter.value;
    if (parameter.slot.ends_with(".k.weight") || parameter.slot.ends_with(".v.weight")) {
      value = value.view({2, 4, 12}).repeat_interleave(3, 0).reshape({24, 12});
    }
    repeated.Add({parameter.name, parameter.slot, value});
  }
  const Transformer ungrouped(ParseTransformerConfig(config, "llama"), repeated, at::kDouble);
  const Batch batch = TinyBatch(grouped);
  EXPECT_LT(MaxDifference(Logits(grouped.Forward(batch)), Logits(ungrouped.Forward(batch))), 1e-12);
}

TEST(Transformer, HugeSoftCapEqualsNone) {
  // The capped scores are computed by another path than the fused attention.
  const arch::Json none = Merge(
      TinyConfig("gemma2"), R"({"attn_logit_softcapping": null, "final_logit_softcapping": null})");
  const arch::Json huge = Merge(
      TinyConfig("gemma2"), R"({"attn_logit_softcapping": 1e7, "final_logit_softcapping": null})");
  const Transformer a = TinyModel("gemma2", none), b = TinyModel("gemma2", huge);
  const Batch batch = TinyBatch(a);
  EXPECT_LT(MaxDifference(Logits(a.Forward(batch)), Logits(b.Forward(batch))), 1e-9);
}

TEST(Transformer, ObserverSeesTheStreamBetweenLayers) {
  const Transformer model = TinyModel("gpt2");
  const Batch batch = TinyBatch(model);
  std::vector<at::Tensor> seen;
  const ModelOutput out = model.Forward(batch, nullptr, [&](int64_t index, const at::Tensor& x) {
    EXPECT_EQ(index, static_cast<int64_t>(seen.size()));
    seen.push_back(x);
  });
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(MaxDifference(seen[0], model.Embed(batch)), 0);
  EXPECT_EQ(MaxDifference(model.Head(seen[2], model.Prepare(batch)).token_logits, out.token_logits),
            0);
}

TEST(Transformer, DropoutDependsOnSeedAndPassOnly) {
  Transformer model = TinyModel("bert");  // 0.1 everywhere by default
  const Batch batch = TinyBatch(model);
  const auto run = [&](uint64_t seed, uint64_t pass) {
    const TrainingContext training{.seed = seed, .pass = pass};
    return Logits(model.Forward(batch, &training));
  };
  EXPECT_EQ(MaxDifference(run(1, 2), run(1, 2)), 0);
  EXPECT_GT(MaxDifference(run(1, 2), run(1, 3)), 1e-3);
  EXPECT_GT(MaxDifference(run(1, 2), run(2, 2)), 1e-3);
  model.config().dropout = {};
  EXPECT_LT(MaxDifference(run(1, 2), Logits(model.Forward(batch))), 1e-12);
}

TEST(Transformer, DropPathSkipsWholeSubBlocksOfASample) {
  // A path dropped with certainty-like probability leaves the last layer's input unchanged for most
  // samples.
  Transformer model = TinyModel("vit");
  model.config().dropout.path = 0.999;
  const Batch batch = TinyBatch(model);
  const TrainingContext training{.seed = 3, .pass = 0};
  std::vector<at::Tensor> stream;
  model.Forward(batch, &training, [&](int64_t, const at::Tensor& x) { stream.push_back(x); });
  EXPECT_EQ(MaxDifference(stream[2], stream[1]), 0);     // rate 0.999 in the last layer
  EXPECT_GT(MaxDifference(stream[1], stream[0]), 1e-3);  // rate 0 in the first
}

TEST(Transformer, MixedPrecisionKeepsGradientsInTheDtypeOfTheParameters) {
  const Transformer exact = TinyModel("llama", TinyConfig("llama"), at::kFloat);
  Transformer mixed(exact.config(), exact.parameters(), at::kBFloat16);
  mixed.parameters().RequireGrad(true);
  const Batch batch = TinyBatch(exact);
  const at::Tensor logits = mixed.Forward(batch).token_logits;
  EXPECT_EQ(logits.scalar_type(), at::kBFloat16);
  const at::Tensor reference = exact.Forward(batch).token_logits.detach();
  const double scale = reference.abs().max().item().toDouble();
  EXPECT_LT(MaxDifference(logits.detach().to(at::kFloat), reference), 0.05 * scale);
  logits.to(at::kFloat).square().mean().backward();
  for (const Parameter& parameter : mixed.parameters().all()) {
    EXPECT_EQ(parameter.value.grad().scalar_type(), at::kFloat) << parameter.slot;
  }
}

TEST(Transformer, NamesTheTensorThatIsMissing) {
  const Transformer model = TinyModel("llama");
  Parameters fewer;
  for (const Parameter& parameter : model.parameters().all()) {
    if (parameter.slot != "layer.1.up.weight") fewer.Add(parameter);
  }
  const Transformer broken(model.config(), fewer, at::kDouble);
  try {
    broken.Forward(TinyBatch(model));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("layer.1.up.weight"));
  }
}

TEST(Transformer, RefusesSequencesLongerThanItsPositions) {
  const Transformer model = TinyModel("gpt2");
  EXPECT_THROW(model.Forward(TinyBatch(model, 33)), UsageError);
  EXPECT_NO_THROW(model.Forward(TinyBatch(model, 32)));
}

}  // namespace
}  // namespace orchard::nn
