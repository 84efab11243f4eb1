#include "expand/optimizer_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

// A tiny model with the state of an AdamW run, grown.
class GrownState : public ::testing::Test {
 protected:
  void Grow(const Json& config, const TargetOptions& target, StateGrowth growth,
            io::DType dtype = io::DType::kF64, const std::vector<TinyTensor>& extra = {}) {
    WriteTinyModel(scratch_.path(), config, dtype);
    model_.emplace(OpenModel(scratch_.path(), {}));
    plan_ = MakePlan(*model_, target, {});
    WriteState(extra);
    state_.emplace(io::Checkpoint::Open(scratch_ / "state.safetensors"));
    GrowOptimizerState(*state_, *model_, plan_, growth, 0, scratch_ / "grown.safetensors");
    if (growth != StateGrowth::kReset)
      grown_.emplace(io::Checkpoint::Open(scratch_ / "grown.safetensors"));
  }

  // Moments, averages and a step counter of 5 for every tensor.
  void WriteState(const std::vector<TinyTensor>& extra) {
    std::vector<TinyTensor> tensors = extra;
    std::vector<io::TensorInfo> infos;
    for (const io::TensorInfo& info : model_->weights.tensors()) {
      const int64_t n = info.elements();
      std::vector<double> squares = TinyValues("v" + info.name, n);
      for (double& value : squares) value *= value;
      tensors.push_back({"exp_avg." + info.name, info.shape, TinyValues("m" + info.name, n)});
      tensors.push_back({"exp_avg_sq." + info.name, info.shape, squares});
      tensors.push_back({"ema." + info.name, info.shape, ReadValues(model_->weights, info.name)});
      infos.push_back({"step." + info.name, io::DType::kI64, {}});
    }
    for (const TinyTensor& tensor : tensors)
      infos.push_back({tensor.name, io::DType::kF64, tensor.shape});
    io::SafetensorsWriter writer(scratch_ / "state.safetensors", io::SafetensorsLayout(infos));
    const int64_t step = 5;
    for (const io::TensorInfo& info : writer.layout().tensors()) {
      if (info.dtype == io::DType::kI64) writer.Write(info, 0, std::as_bytes(std::span(&step, 1)));
    }
    for (const TinyTensor& tensor : tensors)
      writer.Write(*writer.layout().Find(tensor.name), 0, std::as_bytes(std::span(tensor.values)));
    writer.Finish(false);
  }

  std::vector<double> Before(const std::string& name) const { return ReadValues(*state_, name); }
  std::vector<double> After(const std::string& name) const { return ReadValues(*grown_, name); }

  orchard::testing::ScratchDir scratch_;
  std::optional<SourceModel> model_;
  Plan plan_;
  std::optional<io::Checkpoint> state_, grown_;
};

// Outputs share their gradient, inputs repeat it: [F, R] from [10, 8] to [20, 16].
TEST_F(GrownState, MomentsAreSharedByOutputCopiesAndRepeatedForInputCopies) {
  Grow(TinyLlama(), {.hidden = 16, .heads = 8, .kv_heads = 4, .ffn = 20}, StateGrowth::kMap);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto m = Before("exp_avg." + name), v = Before("exp_avg_sq." + name);
  const auto grown_m = After("exp_avg." + name), grown_v = After("exp_avg_sq." + name);
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 16; ++j) {
      EXPECT_DOUBLE_EQ(grown_m[i * 16 + j], m[i % 10 * 8 + j % 8] / 2);
      EXPECT_DOUBLE_EQ(grown_v[i * 16 + j], v[i % 10 * 8 + j % 8] / 4);
    }
  }
}

// 10 hidden units in 15: the first five have two copies, the others one.
TEST_F(GrownState, UnitsAreSharedByTheirOwnNumberOfCopies) {
  Grow(TinyGpt2(), {.ffn = 15}, StateGrowth::kMap);
  const auto m = Before("exp_avg.h.0.mlp.c_fc.bias"), grown = After("exp_avg.h.0.mlp.c_fc.bias");
  for (int i = 0; i < 15; ++i) EXPECT_DOUBLE_EQ(grown[i], m[i % 10] / (i % 10 < 5 ? 2 : 1));
}

TEST_F(GrownState, EmbeddingsAndWritersShareOverTheResidualCopies) {
  Grow(TinyLlama(), {.hidden = 24}, StateGrowth::kMap);
  const auto table = Before("exp_avg.model.embed_tokens.weight"),
             tables = After("exp_avg.model.embed_tokens.weight");
  for (int j = 0; j < 24; ++j) EXPECT_DOUBLE_EQ(tables[j], table[j % 8] / 3);
  const std::string down = "exp_avg.model.layers.1.mlp.down_proj.weight";
  EXPECT_DOUBLE_EQ(After(down)[0], Before(down)[0] / 3);
}

// A gain stored times sqrt(s) has a gradient of 1 / sqrt(s).
TEST_F(GrownState, ScaledGainsHaveScaledMoments) {
  Grow(TinyLlama(), {.hidden = 12}, StateGrowth::kMap);
  const std::string name = "model.norm.weight";
  const auto m = Before("exp_avg." + name), v = Before("exp_avg_sq." + name);
  const double s = 8.0 / 12;
  double mean = 0;
  for (int i = 0; i < 8; ++i) {
    EXPECT_DOUBLE_EQ(After("exp_avg." + name)[i], m[i] / std::sqrt(s));
    EXPECT_DOUBLE_EQ(After("exp_avg_sq." + name)[i], v[i] / s);
    mean += v[i] / s / 8;
  }
  for (int i = 8; i < 12; ++i) {
    EXPECT_EQ(After("exp_avg." + name)[i], 0);
    EXPECT_NEAR(After("exp_avg_sq." + name)[i], mean, 1e-15);
  }
}

// With a tied head the final norm is stored divided by the copies, which cancels their sharing.
TEST_F(GrownState, TheFoldOfATiedHeadCancelsTheSharing) {
  Grow(TinyGpt2(), {.hidden = 24}, StateGrowth::kMap);
  const auto m = Before("exp_avg.ln_f.weight"), grown = After("exp_avg.ln_f.weight");
  for (int i = 0; i < 24; ++i) EXPECT_DOUBLE_EQ(grown[i], m[i % 8]);
}

TEST_F(GrownState, PaddingInputsHaveTheMeanSecondMomentOfTheirRow) {
  Grow(TinyLlama(), {.hidden = 12}, StateGrowth::kMap);
  const std::string name = "model.layers.0.mlp.gate_proj.weight";
  const auto v = Before("exp_avg_sq." + name), grown = After("exp_avg_sq." + name);
  for (int i = 0; i < 10; ++i) {
    double mean = 0;
    for (int j = 0; j < 8; ++j) mean += v[i * 8 + j] / 8;
    for (int j = 8; j < 12; ++j) {
      EXPECT_NEAR(grown[i * 12 + j], mean, 1e-15);
      EXPECT_EQ(After("exp_avg." + name)[i * 12 + j], 0);
    }
  }
}

TEST_F(GrownState, TransposedMapsAreMappedAlike) {
  Grow(TinyGpt2(), {.ffn = 20}, StateGrowth::kMap);  // c_fc is stored [8, 10]
  const auto m = Before("exp_avg.h.1.mlp.c_fc.weight"),
             grown = After("exp_avg.h.1.mlp.c_fc.weight");
  for (int j = 0; j < 8; ++j) {
    for (int i = 0; i < 20; ++i) EXPECT_DOUBLE_EQ(grown[j * 20 + i], m[j * 10 + i % 10] / 2);
  }
}

TEST_F(GrownState, NewLayersStartWithTheirOwnCounter) {
  Grow(TinyLlama(), {.layers = 3}, StateGrowth::kMap);  // 0 1 1'
  EXPECT_NE(grown_->Find("step.model.layers.1.mlp.up_proj.weight"), nullptr);
  for (const io::TensorInfo& info : grown_->tensors())
    EXPECT_EQ(info.name.find("layers.2."), std::string::npos) << info.name;
  int64_t step;
  memcpy(&step, grown_->Bytes(grown_->Get("step.model.norm.weight")).data(), 8);
  EXPECT_EQ(step, 5);
}

TEST_F(GrownState, AsymmetricGrowthKeepsTheFirstCopyOnly) {
  Grow(TinyGpt2(), {.ffn = 20}, StateGrowth::kAsym);
  const auto m = Before("exp_avg.h.0.mlp.c_fc.bias"), v = Before("exp_avg_sq.h.0.mlp.c_fc.bias");
  const auto grown_m = After("exp_avg.h.0.mlp.c_fc.bias"),
             grown_v = After("exp_avg_sq.h.0.mlp.c_fc.bias");
  for (int i = 0; i < 10; ++i) {
    EXPECT_DOUBLE_EQ(grown_m[i], m[i] / 2);
    EXPECT_EQ(grown_m[i + 10], 0);
    EXPECT_GT(grown_v[i + 10], 0);
    EXPECT_EQ(grown_v[i + 10], grown_v[10]);  // the mean, not that of the first copy
    EXPECT_DOUBLE_EQ(grown_v[i], v[i] / 4);
  }
}

TEST_F(GrownState, AveragesAreExpandedLikeTheWeights) {
  Grow(TinyGpt2(), {.hidden = 14, .ffn = 23}, StateGrowth::kMap);
  for (const TensorOp& op : plan_.tensors)
    EXPECT_EQ(After("ema." + op.name), RunValues(model_->weights, op)) << op.name;
}

TEST_F(GrownState, MastersAreTheStoredWeights) {
  Grow(TinyGpt2(), {.hidden = 16}, StateGrowth::kMap, io::DType::kBF16);
  for (const TensorOp& op : plan_.tensors)
    EXPECT_EQ(After("master." + op.name), RunValues(model_->weights, op)) << op.name;
}

TEST_F(GrownState, ResetWritesNothing) {
  Grow(TinyGpt2(), {.hidden = 16}, StateGrowth::kReset);
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "grown.safetensors"));
}

TEST_F(GrownState, OfAnotherModelIsRefused) {
  EXPECT_THROW(Grow(TinyGpt2(), {.hidden = 16}, StateGrowth::kMap, io::DType::kF64,
                    {{"exp_avg.h.9.ln_1.weight", {8}, TinyValues("", 8)}}),
               DataError);
}

}  // namespace
}  // namespace orchard::expand
