#include "expand/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ScratchDir;
using ::testing::HasSubstr;

using Tiny = TinyTransformer;

// The exit code and the text of what `run` throws.
template <class Run>
std::pair<ExitCode, std::string> ErrorOf(Run&& run) {
  try {
    run();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {ExitCode::kDone, ""};
}

// ---- norms -----------------------------------------------------------------------------------

std::vector<double> LayerNorm(const std::vector<double>& x, const std::vector<double>& gain,
                              const std::vector<double>& bias, double epsilon) {
  const double n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double variance = 0;
  for (double value : x) variance += (value - mean) * (value - mean) / n;
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    y[i] = (x[i] - mean) / std::sqrt(variance + epsilon) * gain[i] + bias[i];
  return y;
}

std::vector<double> RmsNorm(const std::vector<double>& x, const std::vector<double>& gain,
                            double epsilon) {
  double square = 0;
  for (double value : x) square += value * value / static_cast<double>(x.size());
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] / std::sqrt(square + epsilon) * gain[i];
  return y;
}

// Copies of x as the map says, and `pad` elsewhere.
std::vector<double> Expanded(const AxisMap& map, const std::vector<double>& x, double pad) {
  std::vector<double> grown;
  for (int64_t u : map.entries()) grown.push_back(u == kPad ? pad : x[u]);
  return grown;
}

double LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// A GPT-2 of `width` heads of one dimension, so that every width is legal.
Json NarrowGpt2(int64_t width) {
  Json config = TinyGpt2();
  config["n_embd"] = config["n_head"] = width;
  return config;
}

double LayerNormDefect(int64_t from, int64_t to, const std::vector<double>& x) {
  const Tiny tiny(NarrowGpt2(from));
  const Plan plan = tiny.Grow({.hidden = to});
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(from);
  const auto small = LayerNorm(x, tiny.Source("h.0.ln_1.weight"), tiny.Source("h.0.ln_1.bias"),
                               plan.epsilon_before);
  const auto big =
      LayerNorm(Expanded(*plan.maps.residual, x, mean), tiny.Values(plan, "h.0.ln_1.weight"),
                tiny.Values(plan, "h.0.ln_1.bias"), plan.epsilon_after);
  return LargestDifference(big, Expanded(*plan.maps.residual, small, 0));
}

TEST(LayerNormPlan, KeepsOneTwoThreePaddedToFive) {
  EXPECT_LT(LayerNormDefect(3, 5, {1, 2, 3}), 1e-14);
}

// sqrt(3/5) on the gain, 3/5 on epsilon.
TEST(LayerNormPlan, ScalesGainAndEpsilonByTheShareOfCopies) {
  const Tiny tiny(NarrowGpt2(3));
  const Plan plan = tiny.Grow({.hidden = 5});
  EXPECT_DOUBLE_EQ(plan.epsilon_after, 0.6e-3);
  EXPECT_EQ(plan.config["layer_norm_epsilon"].get<double>(), plan.epsilon_after);
  const auto gain = tiny.Source("h.0.ln_2.weight"), grown = tiny.Values(plan, "h.0.ln_2.weight");
  for (int i = 0; i < 3; ++i) EXPECT_DOUBLE_EQ(grown[i], std::sqrt(0.6) * gain[i]);
  for (int i = 3; i < 5; ++i) {
    EXPECT_NE(grown[i], 0);  // padding could not learn otherwise
    EXPECT_LE(std::abs(grown[i]), std::sqrt(0.6));
  }
}

RC_GTEST_PROP(LayerNormPlan, MapsMeanPaddingToZeroPadding, ()) {
  const int64_t from = *rc::gen::inRange<int64_t>(2, 9);
  const int64_t to = from + *rc::gen::inRange<int64_t>(0, 3 * from);
  RC_ASSERT(LayerNormDefect(from, to, TinyValues("x", from)) < 1e-13);
}

RC_GTEST_PROP(RmsNormPlan, MapsZeroPaddingToZeroPadding, ()) {
  const int64_t from = *rc::gen::inRange<int64_t>(1, 9);
  const int64_t to = from + *rc::gen::inRange<int64_t>(0, 3 * from);
  Json config = TinyLlama();
  config["hidden_size"] = from;
  config["num_attention_heads"] = config["num_key_value_heads"] = 1;
  const Tiny tiny(config);
  const Plan plan = tiny.Grow({.hidden = to});
  const std::vector<double> x = TinyValues("x", from);
  const std::string name = "model.layers.1.input_layernorm.weight";
  const auto small = RmsNorm(x, tiny.Source(name), plan.epsilon_before);
  const auto big =
      RmsNorm(Expanded(*plan.maps.residual, x, 0), tiny.Values(plan, name), plan.epsilon_after);
  RC_ASSERT(LargestDifference(big, Expanded(*plan.maps.residual, small, 0)) < 1e-13);
}

// The paper's ablation: without the correction of the gain the function changes.
TEST(LayerNormPlan, WithoutItsCorrectionTheFunctionChanges) {
  const Tiny tiny(NarrowGpt2(3));
  const Plan plan = tiny.Grow({.hidden = 5});
  const std::vector<double> x = {1, 2, 3}, gain = tiny.Source("h.0.ln_1.weight"),
                            bias = tiny.Source("h.0.ln_1.bias");
  const auto small = LayerNorm(x, gain, bias, plan.epsilon_before);
  const auto big =
      LayerNorm(Expanded(*plan.maps.residual, x, 2), Expanded(*plan.maps.residual, gain, 0),
                Expanded(*plan.maps.residual, bias, 0), plan.epsilon_before);
  EXPECT_GT(LargestDifference(big, Expanded(*plan.maps.residual, small, 0)), 1e-2);
}

// ---- whole plans -----------------------------------------------------------------------------

TEST(MakePlan, SameSizeIsTheSameBytes) {
  for (const Json& config : {TinyGpt2(), TinyLlama(), TinyBert()}) {
    const Tiny tiny(config, io::DType::kBF16);
    const Plan plan = tiny.Grow({});
    for (const TensorOp& op : plan.tensors) {
      const io::TensorInfo& info = tiny.model->weights.Get(op.name);
      const auto bytes = RunOp(tiny.model->weights, op);
      const auto source = tiny.model->weights.Bytes(info);
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), source.begin(), source.end())) << op.name;
    }
    EXPECT_EQ(plan.exactness, Exactness::kExact);
    EXPECT_EQ(plan.tensors.size(), tiny.model->weights.tensors().size());
    for (const auto& [key, value] : config.items()) EXPECT_EQ(plan.config[key], value) << key;
  }
}

RC_GTEST_PROP(MakePlan, EveryInputUnitHasACopy, ()) {
  static const Tiny tiny(TinyLlama());
  MethodOptions method;
  method.allow_odd_heads = true;
  const int64_t kv = *rc::gen::inRange<int64_t>(2, 7), group = *rc::gen::inRange<int64_t>(2, 5);
  const Plan plan = tiny.Grow({.hidden = 8 + *rc::gen::inRange<int64_t>(0, 30),
                               .heads = kv * group,
                               .kv_heads = kv,
                               .ffn = 10 + *rc::gen::inRange<int64_t>(0, 30),
                               .layers = 2 + *rc::gen::inRange<int64_t>(0, 5)},
                              method);
  for (const TensorOp& op : plan.tensors) {
    if (op.kind == OpKind::kMatrix) RC_ASSERT(op.columns->covers_every_source());
    if (op.kind == OpKind::kMatrix) RC_ASSERT(op.rows->covers_every_source());
  }
  RC_ASSERT(plan.lossless);
}

// A neutral layer of type `zero` writes nothing; its inner maps are not zero, so that it learns.
TEST(MakePlan, ZeroLayersHaveSilentOutputsAndLiveInputs) {
  const Tiny tiny(TinyGpt2());
  const Plan plan = tiny.Grow({.layers = 4});
  for (const char* name : {"h.1.attn.c_proj.weight", "h.1.attn.c_proj.bias",
                           "h.1.mlp.c_proj.weight", "h.1.mlp.c_proj.bias"}) {
    for (double value : tiny.Values(plan, name)) ASSERT_EQ(value, 0) << name;
  }
  EXPECT_EQ(tiny.Values(plan, "h.1.attn.c_attn.weight"), tiny.Source("h.0.attn.c_attn.weight"));
}

TEST(MakePlan, CancelLayersHaveOutputsThatSumToZero) {
  const Tiny tiny(TinyLlama());
  MethodOptions method;
  method.depth_type = DepthType::kCancel;
  const Plan plan = tiny.Grow({.heads = 8, .kv_heads = 4, .ffn = 20, .layers = 3}, method);
  const TensorOp& op = FindOp(plan, "model.layers.2.mlp.down_proj.weight");
  const std::vector<double> values = tiny.Values(plan, op.name);
  const int64_t width = op.columns->size();
  for (int64_t i = 0; i < op.rows->size(); ++i) {
    for (int64_t j = 0; j < 10; ++j) {
      EXPECT_NE(values[i * width + j], 0);
      EXPECT_EQ(values[i * width + j] + values[i * width + j + 10], 0);
    }
  }
}

// LN(LN_{1,0}(z)) = LN(z): the layer before a neutral one ends plainly, the neutral one in its
// norm.
TEST(MakePlan, PostNormDepthMovesTheLastNorm) {
  const Tiny tiny(TinyBert());
  const Plan plan = tiny.Grow({.layers = 3});  // 0 1 1'
  const std::string norm = ".output.LayerNorm.weight", bias = ".output.LayerNorm.bias";
  const std::vector<double> ones(8, 1.0), zeros(8, 0.0);
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.0" + norm), tiny.Source("encoder.layer.0" + norm));
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.1" + norm), ones);
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.1" + bias), zeros);
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.2" + norm), tiny.Source("encoder.layer.1" + norm));
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.2" + bias), tiny.Source("encoder.layer.1" + bias));
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.2.attention.output.LayerNorm.weight"), ones);
  EXPECT_EQ(tiny.Values(plan, "encoder.layer.1.attention.output.LayerNorm.weight"),
            tiny.Source("encoder.layer.1.attention.output.LayerNorm.weight"));
}

TEST(MakePlan, TiedHeadsFoldTheCopiesIntoTheFinalNorm) {
  const Tiny tiny(TinyGpt2());
  const Plan plan = tiny.Grow({.hidden = 24});
  const auto gain = tiny.Source("ln_f.weight"), grown = tiny.Values(plan, "ln_f.weight");
  for (int i = 0; i < 24; ++i) EXPECT_DOUBLE_EQ(grown[i], gain[i % 8] / 3);
}

TEST(MakePlan, UntiedHeadsAreSplitLikeReaders) {
  const Tiny tiny(TinyGpt2());
  MethodOptions method;
  method.untie = true;
  const Plan plan = tiny.Grow({.hidden = 16}, method);
  const auto table = tiny.Source("wte.weight"), head = tiny.Values(plan, "lm_head.weight");
  for (int v = 0; v < 3; ++v) {
    for (int j = 0; j < 8; ++j)
      EXPECT_EQ(head[v * 16 + j] + head[v * 16 + 8 + j], table[v * 8 + j]);
  }
  EXPECT_EQ(plan.config["tie_word_embeddings"], false);
}

TEST(MakePlan, SixteenBitNormsAreWidenedWhereTheyWouldRound) {
  const Tiny tiny(TinyLlama(), io::DType::kBF16);
  EXPECT_EQ(FindOp(tiny.Grow({.hidden = 12}), "model.norm.weight").dtype, io::DType::kF32);
  EXPECT_EQ(FindOp(tiny.Grow({.hidden = 16}), "model.norm.weight").dtype, io::DType::kBF16);
  EXPECT_EQ(tiny.Grow({.hidden = 12}).exactness, Exactness::kNormRounded);
  EXPECT_EQ(tiny.Grow({.hidden = 16}).exactness, Exactness::kExact);
}

// ---- refusals --------------------------------------------------------------------------------

TEST(Refusals, PostNormWidthsAreMultiples) {
  const Tiny tiny(TinyBert());
  const auto [code, text] = ErrorOf([&] { tiny.Grow({.hidden = 12}); });
  EXPECT_EQ(code, ExitCode::kImpossible);
  EXPECT_THAT(text, HasSubstr("nearest legal --hidden: 8 or 16"));
  MethodOptions lossy;
  lossy.allow_lossy = true;
  EXPECT_FALSE(tiny.Grow({.hidden = 12}, lossy).lossless);
}

TEST(Refusals, ExpansionOnlyGrows) {
  const Tiny tiny(TinyLlama());
  EXPECT_EQ(ErrorOf([&] { tiny.Grow({.ffn = 9}); }).first, ExitCode::kUsage);
  EXPECT_EQ(ErrorOf([&] { tiny.Grow({.layers = 1}); }).first, ExitCode::kUsage);
}

TEST(Refusals, WidthsFollowHeadsWhereTheFamilyTiesThem) {
  const Tiny tiny(TinyGpt2());
  const auto [code, text] = ErrorOf([&] { tiny.Grow({.hidden = 11}); });
  EXPECT_EQ(code, ExitCode::kImpossible);
  EXPECT_THAT(text, HasSubstr("nearest legal --hidden: 10 or 12"));
}

TEST(Refusals, NameTheLoadersRuleForHeads) {
  const Tiny tiny(TinyLlama());
  const auto [code, text] = ErrorOf([&] { tiny.Grow({.hidden = 14}); });
  EXPECT_EQ(code, ExitCode::kImpossible);
  EXPECT_THAT(text, HasSubstr("nearest legal --hidden: 16"));
  MethodOptions odd;
  odd.allow_odd_heads = true;
  EXPECT_THAT(tiny.Grow({.hidden = 14}, odd).warnings.back(), HasSubstr("refuses to load"));
}

TEST(Refusals, LayersScaledByTheirIndexCannotBeAdded) {
  Json config = TinyGpt2();
  config["scale_attn_by_inverse_layer_idx"] = true;
  const Tiny tiny(config);
  EXPECT_EQ(ErrorOf([&] { tiny.Grow({.layers = 3}); }).first, ExitCode::kImpossible);
  EXPECT_NO_THROW(tiny.Grow({.hidden = 16}));
}

TEST(Refusals, HyperCloningTakesWholeMultiples) {
  const Tiny tiny(TinyLlama());
  MethodOptions method;
  method.method = Method::kHyperCloning;
  EXPECT_EQ(ErrorOf([&] { tiny.Grow({.hidden = 12}, method); }).first, ExitCode::kImpossible);
  EXPECT_NO_THROW(tiny.Grow({.hidden = 16}, method));
}

TEST(Refusals, UnknownMissingAndMisshapenTensorsAreNamed) {
  const auto error_of = [](const std::string& without, const std::vector<TinyTensor>& with) {
    const ScratchDir scratch;
    WriteTinyModel(scratch.path(), TinyLlama(), io::DType::kF32, without, with);
    const SourceModel model = OpenModel(scratch.path(), {});
    return ErrorOf([&] { MakePlan(model, {}, {}); });
  };
  const auto unknown = error_of("", {{"adapter.weight", {1}, {0}}});
  EXPECT_EQ(unknown.first, ExitCode::kData);
  EXPECT_THAT(unknown.second, HasSubstr("adapter.weight"));
  const auto missing = error_of("model.norm.weight", {});
  EXPECT_EQ(missing.first, ExitCode::kData);
  EXPECT_THAT(missing.second, HasSubstr("model.norm.weight"));
  const auto misshapen =
      error_of("model.norm.weight", {{"model.norm.weight", {7}, TinyValues("", 7)}});
  EXPECT_EQ(misshapen.first, ExitCode::kData);
  EXPECT_THAT(misshapen.second, HasSubstr("model.norm.weight"));
}

TEST(Refusals, UnknownFamiliesListTheKnownOnes) {
  const ScratchDir scratch;
  WriteTinyModel(scratch.path(), TinyLlama(), io::DType::kF32);
  Json config = TinyLlama();
  config["model_type"] = "bloom";
  orchard::testing::WriteText(scratch / "config.json", config.dump());
  const auto [code, text] = ErrorOf([&] { OpenModel(scratch.path(), {}); });
  EXPECT_EQ(code, ExitCode::kImpossible);
  EXPECT_THAT(text, HasSubstr("gpt2"));
}

}  // namespace
}  // namespace orchard::expand
