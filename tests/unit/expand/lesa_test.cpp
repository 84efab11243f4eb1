// LESA's new layers: what is learnt where layers follow a rule, and what is written for real
// families.
#include "expand/lesa.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/lesa_kind.h"
#include "nn/random_tensor.h"
#include "tiny_model.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ReadText;
using orchard::testing::ScratchDir;

const MethodOptions kLesa{.method = Method::kLesa};

double RelativeError(const at::Tensor& value, const at::Tensor& truth) {
  return ((value - truth).norm() / truth.norm()).item().toDouble();
}

// ---- one kind of matrix ----------------------------------------------------------------------

// Layers of one kind that lie on a line: A + (i - middle) B.
struct Line {
  static constexpr int64_t kLayers = 16, kRows = 64, kColumns = 16;

  at::Tensor At(double position) const { return a + (position - 7.5) * b; }

  at::Tensor a = nn::RandomNormal("a", {kRows, kColumns}, 1, 3, at::kDouble);
  at::Tensor b = nn::RandomNormal("b", {kRows, kColumns}, 1, 3, at::kDouble);
};

TEST(LesaKindModel, FindsWhatLiesBetweenLayersOnALine) {
  at::set_num_threads(1);  // the matrices are small
  const ScratchDir scratch;
  const Line line;
  LesaKindModel model(
      "line", Line::kLayers, [&](int64_t i) { return line.At(static_cast<double>(i)); },
      scratch / "coordinates");
  const LesaKind learnt = model.Train({.epochs = 200});
  EXPECT_EQ(learnt.directions, 2 * Line::kColumns);  // those of A and of B
  EXPECT_LT(learnt.loss, 0.1 * learnt.first_loss);
  EXPECT_LT(learnt.prediction_error, 0.25 * learnt.copy_error);
  for (const int64_t before : {6, 7, 8}) {
    const at::Tensor truth = line.At(static_cast<double>(before) + 0.5);
    EXPECT_LT(RelativeError(model.Predict(before), truth),
              0.25 * RelativeError(line.At(static_cast<double>(before)), truth))
        << before;
  }
}

TEST(LesaKindModel, LearnsNothingFromNoise) {
  const ScratchDir scratch;
  LesaKindModel model(
      "noise", 6,
      [](int64_t i) {
        return nn::RandomNormal("layer " + std::to_string(i), {32, 16}, 1, 0, at::kDouble);
      },
      scratch / "coordinates");
  // The best guess at independent noise is zero, whose error is 1.
  EXPECT_GT(model.Train({.epochs = 10}).prediction_error, 0.9);
}

TEST(LesaKindModel, TakesLayersThatShareDirections) {
  // Rank 1 in 8 rows: one direction, and predictions stay in it.
  const ScratchDir scratch;
  const at::Tensor u = nn::RandomNormal("u", {8, 1}, 1, 0, at::kDouble);
  LesaKindModel model(
      "rank", 4,
      [&](int64_t i) {
        return at::mm(u, nn::RandomNormal("v" + std::to_string(i), {1, 6}, 1, 0, at::kDouble));
      },
      scratch / "coordinates");
  EXPECT_EQ(model.Train({.epochs = 1}).directions, 1);
  const at::Tensor w = model.Predict(1);
  const at::Tensor inside = at::mm(u, at::mm(u.t(), w)) / u.square().sum();
  EXPECT_LT(RelativeError(w, inside), 1e-12);
}

// ---- models ----------------------------------------------------------------------------------

Json WithLayers(Json config, int64_t layers) {
  for (const char* key : {"n_layer", "num_hidden_layers"}) {
    if (config.contains(key)) config[key] = layers;
  }
  return config;
}

// Grows a tiny model of 4 layers to 6 into `destination`.
Plan GrowTo(const SourceModel& source, const std::filesystem::path& destination, int threads = 1,
            uint64_t seed = 0) {
  const Plan plan = MakePlan(source, {.layers = 6}, kLesa);
  const LesaResult result = PredictLayers(source, plan, {.seed = seed, .threads = threads});
  ExpandModel(result.source, result.plan, kLesa, destination, {.threads = threads, .seed = seed});
  return result.plan;
}

class LesaFamilies : public ::testing::TestWithParam<Json> {};

TEST_P(LesaFamilies, KeepOldLayersAndPredictNewOnes) {
  const ScratchDir scratch;
  WriteTinyModel(scratch / "source", WithLayers(GetParam(), 4), io::DType::kF32);
  const SourceModel source = OpenModel(scratch / "source", {});
  const Plan plan = GrowTo(source, scratch / "grown");
  const io::Checkpoint grown = io::Checkpoint::Open(scratch / "grown");
  // 0, 1, new, 2, new, 3.
  const int64_t sources[] = {0, 1, -1, 2, -1, 3};
  int predicted = 0, means = 0;
  for (const io::TensorInfo& info : grown.tensors()) {
    auto match = *source.architecture.Find(info.name);
    const auto values = ReadValues(grown, info.name);
    for (double value : values) ASSERT_TRUE(std::isfinite(value)) << info.name;
    const auto named = [&](int64_t layer) {
      return ReadValues(source.weights, arch::Architecture::NameOf(match, layer, match.expert));
    };
    if (match.layer < 0) {
      EXPECT_EQ(values, ReadValues(source.weights, info.name)) << info.name;
    } else if (sources[match.layer] >= 0) {
      EXPECT_EQ(values, named(sources[match.layer])) << info.name;
    } else {
      const auto before = named(sources[match.layer - 1]), after = named(sources[match.layer + 1]);
      ASSERT_EQ(values.size(), before.size()) << info.name;
      if (info.shape.size() == 1) {
        ++means;
        for (size_t i = 0; i < values.size(); ++i) {
          EXPECT_FLOAT_EQ(values[i], 0.5 * (before[i] + after[i])) << info.name;
        }
      } else {
        ++predicted;
        EXPECT_NE(values, before) << info.name;
        EXPECT_NE(values, after) << info.name;
      }
    }
  }
  EXPECT_GE(predicted, 2 * 4);  // of two layers
  EXPECT_GE(means, 2 * 2);
  EXPECT_EQ(OpenModel(scratch / "grown", {}).sizes.layers, 6);
}

INSTANTIATE_TEST_SUITE_P(Lesa, LesaFamilies, ::testing::Values(TinyGpt2(), TinyLlama(), TinyBert()),
                         [](const auto& info) { return std::string(info.param["model_type"]); });

TEST(Lesa, WritesTheSameBytesForAnyNumberOfThreads) {
  const ScratchDir scratch;
  WriteTinyModel(scratch / "source", WithLayers(TinyLlama(), 4), io::DType::kBF16);
  const SourceModel source = OpenModel(scratch / "source", {});
  GrowTo(source, scratch / "one");
  GrowTo(source, scratch / "many", 4);
  GrowTo(source, scratch / "other", 4, 1);
  const auto weights = [&](const char* name) {
    return ReadText(scratch / name / "model.safetensors");
  };
  EXPECT_EQ(weights("one"), weights("many"));
  EXPECT_NE(weights("one"), weights("other"));  // the network starts elsewhere
}

TEST(Lesa, LeavesNothingBehind) {
  const ScratchDir scratch, files;
  WriteTinyModel(scratch / "source", WithLayers(TinyLlama(), 4), io::DType::kF32);
  const SourceModel source = OpenModel(scratch / "source", {});
  const Plan plan = MakePlan(source, {.layers = 5}, kLesa);
  { const LesaResult result = PredictLayers(source, plan, {.scratch = files.path()}); }
  EXPECT_TRUE(std::filesystem::is_empty(files.path()));
}

TEST(Lesa, RefusesWhatItCannotDo) {
  const ScratchDir scratch;
  WriteTinyModel(scratch / "source", WithLayers(TinyLlama(), 4), io::DType::kF32);
  const SourceModel source = OpenModel(scratch / "source", {});
  EXPECT_THROW(MakePlan(source, {.hidden = 16, .layers = 5}, kLesa), ImpossibleError);
  EXPECT_THROW(MakePlan(source, {.layers = 8}, kLesa), ImpossibleError);
  const Plan plan = MakePlan(source, {.layers = 7}, kLesa);
  EXPECT_THROW(PredictLayers(source, plan, {.max_ram = 1000}), ResourceError);
  // A plan whose layers nobody has predicted is not written.
  EXPECT_THROW(ExpandModel(source, plan, kLesa, scratch / "grown", {}), Error);
  EXPECT_FALSE(std::filesystem::exists(scratch / "grown"));

  WriteTinyModel(scratch / "two", TinyLlama(), io::DType::kF32);
  EXPECT_THROW(MakePlan(OpenModel(scratch / "two", {}), {.layers = 3}, kLesa), ImpossibleError);
}

}  // namespace
}  // namespace orchard::expand
