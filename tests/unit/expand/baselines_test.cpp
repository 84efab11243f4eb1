// The methods of other papers: what each writes, in closed forms.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "expand/plan.h"
#include "tiny_model.h"

namespace orchard::expand {
namespace {

using Tiny = TinyTransformer;

// ---- HyperCloning ----------------------------------------------------------------------------

TEST(HyperCloning, TilesAndDividesByTheCopies) {
  const Tiny tiny(TinyLlama());
  const Plan plan =
      tiny.Grow({.hidden = 16, .heads = 8, .kv_heads = 4, .ffn = 20}, With(Method::kHyperCloning));
  const auto w = tiny.Source("model.layers.0.mlp.up_proj.weight"),
             grown = tiny.Values(plan, "model.layers.0.mlp.up_proj.weight");
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 16; ++j) EXPECT_EQ(grown[i * 16 + j], w[i % 10 * 8 + j % 8] / 2);
  }
  const auto norm = tiny.Source("model.norm.weight"),
             norms = tiny.Values(plan, "model.norm.weight");
  for (int i = 0; i < 16; ++i) EXPECT_EQ(norms[i], norm[i % 8]);
  EXPECT_EQ(plan.epsilon_after, plan.epsilon_before);
}

TEST(HyperCloning, UntiesTheHead) {
  const Tiny tiny(TinyGpt2());
  const Plan plan = tiny.Grow({.hidden = 16}, With(Method::kHyperCloning));
  EXPECT_EQ(plan.config["tie_word_embeddings"], false);
  const auto table = tiny.Source("wte.weight"), head = tiny.Values(plan, "lm_head.weight");
  EXPECT_EQ(head[0], table[0] / 2);
}

// The noise of a pair cancels; what is stored sums to the weight exactly, in every type.
TEST(HyperCloning, NoiseOfAPairCancelsExactly) {
  for (io::DType dtype : {io::DType::kBF16, io::DType::kF16, io::DType::kF32, io::DType::kF64}) {
    const Tiny tiny(TinyLlama(), dtype);
    MethodOptions method = With(Method::kHyperCloning);
    method.hypercloning_snr = 10;
    const Plan plan = tiny.Grow({.hidden = 24, .heads = 12, .kv_heads = 6, .ffn = 30}, method);
    EXPECT_EQ(plan.exactness, Exactness::kExact);
    const std::string name = "model.layers.0.mlp.up_proj.weight";
    const auto w = tiny.Source(name), grown = tiny.Values(plan, name);
    for (int i = 0; i < 30; ++i) {
      for (int j = 0; j < 8; ++j) {
        const long double sum = static_cast<long double>(grown[i * 24 + j]) +
                                grown[i * 24 + j + 8] + grown[i * 24 + j + 16];
        EXPECT_EQ(sum, static_cast<long double>(w[i % 10 * 8 + j]));
      }
    }
  }
}

// An odd last copy is clean; the noise of the others has the power that was asked for. In f64 the
// spacing of the grid is far below the noise, but for weights near zero, whose parts are limited.
TEST(HyperCloning, NoiseHasTheGivenPowerAndSparesAnOddLastCopy) {
  Json config = TinyLlama();
  config["intermediate_size"] = 400;
  const Tiny tiny(config);
  MethodOptions method = With(Method::kHyperCloning);
  method.hypercloning_snr = 20;
  const Plan plan = tiny.Grow({.hidden = 24, .heads = 12, .kv_heads = 6}, method);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto w = tiny.Source(name), grown = tiny.Values(plan, name);
  double noise = 0, signal = 0;
  for (int i = 0; i < 400; ++i) {
    for (int j = 0; j < 8; ++j) {
      const double share = w[i * 8 + j] / 3;
      EXPECT_NEAR(grown[i * 24 + j + 16], share, 1e-15);
      noise += std::pow(grown[i * 24 + j] - share, 2);
      signal += share * share;
    }
  }
  EXPECT_NEAR(10 * std::log10(signal / noise), 20, 0.3);
}

TEST(HyperCloning, PowerDoesNotDependOnBlocks) {
  const Tiny tiny(TinyGpt2(), io::DType::kBF16);
  MethodOptions method = With(Method::kHyperCloning);
  method.hypercloning_snr = 10;
  const Plan plan = tiny.Grow({.hidden = 16, .ffn = 20}, method);
  const TensorOp& op = FindOp(plan, "h.0.mlp.c_fc.weight");
  EXPECT_EQ(RunOp(tiny.model->weights, op, 0, 1), RunOp(tiny.model->weights, op));
}

// ---- zero padding ----------------------------------------------------------------------------

TEST(ZeroPad, IsLosslessForRmsNormOnly) {
  const Tiny rms(TinyLlama()), layer(TinyGpt2());
  EXPECT_TRUE(rms.Grow({.hidden = 12}, With(Method::kZeroPad)).lossless);
  EXPECT_FALSE(layer.Grow({.hidden = 12}, With(Method::kZeroPad)).lossless);
}

TEST(ZeroPad, KeepsTheOldPartAndSilencesTheNew) {
  const Tiny tiny(TinyLlama());
  const Plan plan = tiny.Grow({.hidden = 20, .ffn = 25}, With(Method::kZeroPad));
  const std::string up = "model.layers.0.mlp.up_proj.weight",
                    down = "model.layers.0.mlp.down_proj.weight";
  const auto w = tiny.Source(up), grown = tiny.Values(plan, up);  // [25, 20]
  for (int i = 0; i < 10; ++i) {
    for (int j = 0; j < 8; ++j) EXPECT_EQ(grown[i * 20 + j], w[i * 8 + j]);
  }
  EXPECT_NE(grown[24 * 20], 0);              // new hidden units are alive
  const auto out = tiny.Values(plan, down);  // [20, 25]: rows beyond 8 and columns beyond 10 are 0
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 25; ++j) {
      if (i >= 8 || j >= 10) {
        EXPECT_EQ(out[i * 25 + j], 0);
      }
    }
  }
}

// ---- LiGO ------------------------------------------------------------------------------------

TEST(MixMap, KeepsOldUnitsAndMixesNewOnes) {
  const MixMap map = MixMap::Convex(4, 9, 3);
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(map[t], (std::vector<MixTerm>{{t, 1}}));
  for (int64_t t = 4; t < 9; ++t) {
    double sum = 0;
    for (const MixTerm& term : map[t]) {
      EXPECT_GE(term.weight, 0);
      EXPECT_LT(term.source, 4);
      sum += term.weight;
    }
    EXPECT_DOUBLE_EQ(sum, 1);
  }
}

// W* = B W A^T, with the B and A that the plan holds.
TEST(LigoInit, IsTheProductWithItsMaps) {
  for (const Json& config : {TinyLlama(), TinyGpt2()}) {
    const Tiny tiny(config);
    const Plan plan = tiny.Grow({.hidden = 12, .heads = 6, .ffn = 15}, With(Method::kLigoInit));
    int checked = 0;
    for (const TensorOp& op : plan.tensors) {
      if (op.kind != OpKind::kMix) continue;
      const MixMap &rows = *op.mix_rows, &columns = *op.mix_columns;
      const auto w = tiny.Source(op.sources[0]), grown = RunValues(tiny.model->weights, op);
      const auto at = [&](int64_t i, int64_t j, int64_t out, int64_t in) {
        return op.transposed ? j * out + i : i * in + j;
      };
      for (int64_t i = 0; i < rows.size(); ++i) {
        for (int64_t j = 0; j < columns.size(); ++j) {
          double wanted = 0;
          for (const MixTerm& a : rows[i]) {
            for (const MixTerm& b : columns[j]) {
              wanted += a.weight * b.weight *
                        w[at(a.source, b.source, rows.source_size(), columns.source_size())];
            }
          }
          ASSERT_NEAR(grown[at(i, j, rows.size(), columns.size())], wanted, 1e-15) << op.name;
        }
      }
      ++checked;
    }
    EXPECT_EQ(checked, static_cast<int>(plan.tensors.size()));
  }
}

TEST(LigoInit, BlendsTheLayersBetweenWhichALayerStands) {
  const Tiny tiny(TinyLlama());
  const Plan plan = tiny.Grow({.layers = 3}, With(Method::kLigoInit));  // 0, 1/2, 1
  const auto name = [](int i) {
    return "model.layers." + std::to_string(i) + ".self_attn.v_proj.weight";
  };
  const auto first = tiny.Source(name(0)), last = tiny.Source(name(1)),
             middle = tiny.Values(plan, name(1));
  EXPECT_EQ(tiny.Values(plan, name(0)), first);
  EXPECT_EQ(tiny.Values(plan, name(2)), last);
  for (size_t i = 0; i < middle.size(); ++i)
    EXPECT_DOUBLE_EQ(middle[i], 0.5 * first[i] + 0.5 * last[i]);
}

TEST(LigoInit, SameSizeIsTheSame) {
  const Tiny tiny(TinyGpt2());
  const Plan plan = tiny.Grow({}, With(Method::kLigoInit));
  for (const TensorOp& op : plan.tensors)
    EXPECT_EQ(RunValues(tiny.model->weights, op), tiny.Source(op.name)) << op.name;
}

// ---- others ----------------------------------------------------------------------------------

TEST(Aki, TakesNewRowsFromTheNextLayer) {
  const Tiny tiny(TinyGpt2());
  const Plan plan = tiny.Grow({.ffn = 15}, With(Method::kAki));
  const auto here = tiny.Source("h.0.mlp.c_fc.bias"), next = tiny.Source("h.1.mlp.c_fc.bias"),
             grown = tiny.Values(plan, "h.0.mlp.c_fc.bias");
  for (int i = 0; i < 15; ++i) EXPECT_EQ(grown[i], i < 10 ? here[i] : next[i - 10]);
}

TEST(Random, UsesNoWeightOfTheSource) {
  const Tiny tiny(TinyLlama());
  const Plan plan = tiny.Grow({.hidden = 12}, With(Method::kRandom));
  for (const TensorOp& op : plan.tensors) EXPECT_TRUE(op.sources.empty()) << op.name;
}

}  // namespace
}  // namespace orchard::expand
