// Units and layers that fade in: the source's function at the start, whatever the new weights are.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/plan.h"
#include "expand/train_model.h"
#include "nn/random_tensor.h"
#include "unit/expand/tiny_model.h"
#include "unit/expand/tiny_training.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;
using orchard::testing::ScratchDir;

const MethodOptions kZeroPadding{.method = Method::kZeroPad};

const arch::Architecture& Table(const TrainModel& model) {
  return arch::FindArchitecture(model.network.transformer()->config().model_type);
}

// Any values for what the expansion added: rows and columns of new units, and all of new layers.
// Biases of norms stay zero on new coordinates.
void Scramble(TrainModel& model, const Sizes& before) {
  const at::NoGradGuard no_grad;
  const Sizes after = arch::ReadSizes(Table(model), model.config, "config.json");
  for (const nn::Parameter& p : model.network.parameters().all()) {
    const arch::Match match = *Table(model).Find(p.name);
    if (match.rule->kind == arch::Kind::kNormBias) continue;
    const at::Tensor noise =
        nn::RandomNormal(p.name, p.value.sizes().vec(), 1.0, 9, p.value.scalar_type());
    if (match.layer >= before.layers) p.value.add_(noise);
    for (size_t axis = 0; axis < match.rule->axes.size(); ++axis) {
      const std::string& name = match.rule->axes[axis];
      const int64_t old = name == "R"   ? before.hidden
                          : name == "F" ? before.ffn
                          : name == "H" ? before.heads * before.head_dim
                                        : p.value.size(static_cast<int64_t>(axis));
      const auto dim = static_cast<int64_t>(axis);
      const int64_t added = p.value.size(dim) - old;
      if (added > 0) p.value.narrow(dim, old, added).add_(noise.narrow(dim, old, added));
    }
  }
  ASSERT_GT(after.hidden, before.hidden);
}

at::Tensor Logits(const TrainModel& model) {
  const at::NoGradGuard no_grad;
  nn::Batch batch;
  batch.tokens = at::arange(3, at::kLong).view({1, 3});
  return model.network.Forward(batch).token_logits;
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item().toDouble();
}

TrainModel Open(const fs::path& path) {
  TrainModelOptions options;
  options.path = path;
  return OpenTrainModel(options, {}, DataKind::kClm, Precision::kF64, 0);
}

class MaskedGrowth : public ::testing::TestWithParam<const char*> {};

TEST_P(MaskedGrowth, StartsAtTheSourcesFunctionForAnyNewWeights) {
  const ScratchDir scratch;
  const bool llama = std::string(GetParam()) == "llama";
  Json config = llama ? TinyLlama() : TinyGpt2();
  if (llama) config["num_key_value_heads"] = config["num_attention_heads"];
  config["vocab_size"] = 3;  // what WriteTinyModel makes of every axis that is not grown
  if (!llama) config["n_positions"] = 3;
  WriteTinyModel(scratch / "source", config, io::DType::kF64);
  const SourceModel source = OpenModel(scratch / "source", {});
  const Sizes before = source.sizes;
  const TargetOptions target{.hidden = 2 * before.hidden - before.head_dim,
                             .heads = 2 * before.heads - 1,
                             .ffn = before.ffn + 5,
                             .layers = before.layers + 1};
  ExpandModel(source, MakePlan(source, target, kZeroPadding), kZeroPadding, scratch / "grown", {});
  TrainModel grown = Open(scratch / "grown");
  Scramble(grown, before);
  const at::Tensor expected = Logits(Open(scratch / "source"));
  const double size = expected.abs().max().item().toDouble();

  nn::GrowthMask mask = MaskOfGrowth(grown);
  const at::Tensor shown = Logits(grown);
  EXPECT_GT(MaxDifference(shown, expected), 0.1 * size);
  mask.open = 0;
  grown.network.transformer()->SetMask(mask);
  EXPECT_LT(MaxDifference(Logits(grown), expected), 1e-12 * size);
  mask.open = 0.5;
  grown.network.transformer()->SetMask(mask);
  EXPECT_GT(MaxDifference(Logits(grown), expected), 1e-3 * size);
  EXPECT_GT(MaxDifference(Logits(grown), shown), 1e-3 * size);
  mask.open = 1;
  grown.network.transformer()->SetMask(mask);
  EXPECT_LT(MaxDifference(Logits(grown), shown), 1e-12 * shown.abs().max().item().toDouble());
}

INSTANTIATE_TEST_SUITE_P(Norms, MaskedGrowth, ::testing::Values("gpt2", "llama"));

TEST(MaskedTraining, OpensWhileItTrains) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  const TrainResult source =
      TrainAndGrow(scratch, options, {.hidden = 24, .layers = 3}, kZeroPadding);
  options.run.precision = Precision::kF64;
  options.run.ranks = 1;
  options.model.path = scratch / "grown";
  // Zeros in the padding move the mean of a LayerNorm.
  const TrainResult bare = TrainInto(scratch / "bare", options);
  EXPECT_GT(std::abs(*bare.first_valid_loss - *source.valid_loss), 1e-6);
  options.model.mask_ramp = 6;
  const TrainResult masked = TrainInto(scratch / "masked", options);
  EXPECT_NEAR(*masked.first_valid_loss, *source.valid_loss, 1e-9);
  TrainOneStepInto(scratch / "stopped", options);
  TrainInto(scratch / "stopped", options, true);
  EXPECT_EQ(FinalWeights(scratch / "masked"), FinalWeights(scratch / "stopped"));
}

TEST(MaskedTraining, WorksWithinARun) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  options.run.precision = Precision::kF64;
  options.model.mask_ramp = 3;
  options.expand.staged = {"at_step=3 hidden=24 layers=3 method=zero-pad"};
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_NEAR(*result.stages[1].loss_after, *result.stages[1].loss_before, 1e-9);
}

TEST(MaskedTraining, NeedsWholeOldWeightsAndTimeToOpen) {
  const ScratchDir scratch;
  TrainOptions options = TinyTraining();
  TrainAndGrow(scratch, options, {.hidden = 24});
  options.model.path = scratch / "grown";
  options.model.mask_ramp = 4;
  EXPECT_THROW(TrainInto(scratch / "lemon", options), UsageError);
  options.model.path.clear();
  options.model.mask_ramp = 6;
  options.expand.staged = {"at_step=3 hidden=24 method=zero-pad"};
  EXPECT_THROW(TrainInto(scratch / "short", options), UsageError);
}

}  // namespace
}  // namespace orchard::expand
