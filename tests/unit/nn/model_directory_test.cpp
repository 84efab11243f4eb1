#include "nn/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "unit/nn/tiny_models.h"
#include "unit/scratch_dir.h"

namespace orchard::nn {
namespace {

arch::Json Named(const std::string& model_type) {
  arch::Json config = TinyConfig(model_type);
  config["model_type"] = model_type;
  return config;
}

TEST(ModelDirectory, SavedModelsComeBackUnchanged) {
  for (const char* type : {"gpt2", "gpt_neox", "phi3", "mixtral", "roberta", "deit"}) {
    const testing::ScratchDir scratch;
    const Transformer model = TinyModel(type);
    SaveModel(scratch.path(), Named(type), model.parameters());
    const ModelDirectory directory = ModelDirectory::Open(scratch.path());
    const Transformer loaded = directory.LoadTransformer(at::kDouble);
    ASSERT_EQ(loaded.parameters().all().size(), model.parameters().all().size()) << type;
    for (const Parameter& parameter : loaded.parameters().all()) {
      EXPECT_TRUE(parameter.value.equal(model.parameters().Get(parameter.slot))) << parameter.name;
    }
    const Batch batch = TinyBatch(model);
    EXPECT_EQ(MaxDifference(Logits(loaded.Forward(batch)), Logits(model.Forward(batch))), 0)
        << type;
  }
}

TEST(ModelDirectory, OneLayerCanBeLoadedAlone) {
  const testing::ScratchDir scratch;
  SaveModel(scratch.path(), Named("llama"), TinyModel("llama").parameters());
  const ModelDirectory directory = ModelDirectory::Open(scratch.path());
  const Parameters layer = directory.Load({.dtype = at::kFloat, .layer = 1});
  for (const Parameter& parameter : layer.all()) {
    EXPECT_THAT(parameter.slot, ::testing::StartsWith("layer.1."));
    EXPECT_EQ(parameter.value.scalar_type(), at::kFloat);
  }
  EXPECT_EQ(layer.all().size(), 9u);
  const Parameters ends = directory.Load({.dtype = {}, .layer = -1});
  EXPECT_EQ(ends.all().size(), 3u);
}

TEST(ModelDirectory, ListsTensorsItDoesNotKnow) {
  const testing::ScratchDir scratch;
  Parameters parameters = TinyModel("llama").parameters();
  parameters.Add({"model.layers.0.extra.weight", "extra", parameters.all().front().value});
  SaveModel(scratch.path(), Named("llama"), parameters);
  try {
    ModelDirectory::Open(scratch.path()).LoadTransformer(at::kDouble);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("model.layers.0.extra.weight"));
  }
}

TEST(ModelDirectory, ReadsTheSizesOfTimmFromItsTensors) {
  const testing::ScratchDir scratch;
  arch::Json config = TinyConfig("timm_vit");
  config["image_size"] = 8;
  const Transformer model = TinyModel("timm_vit", config);
  const arch::Json bare =
      arch::Json::parse(R"({"architecture": "vit_tiny", "model_args": {"num_heads": 3}})");
  SaveModel(scratch.path(), bare, model.parameters());
  const ModelDirectory directory = ModelDirectory::Open(scratch.path());
  EXPECT_EQ(directory.config().layers, 2);
  EXPECT_EQ(directory.config().image_width, 8);
  EXPECT_EQ(directory.config().norm_eps, 1e-6);
  EXPECT_EQ(directory.config().ffn, 20);
}

TEST(ModelDirectory, UnknownModelTypesAreImpossible) {
  const testing::ScratchDir scratch;
  arch::Json config = Named("llama");
  config["model_type"] = "mamba";
  SaveModel(scratch.path(), config, TinyModel("llama").parameters());
  EXPECT_THROW(ModelDirectory::Open(scratch.path()), ImpossibleError);
}

}  // namespace
}  // namespace orchard::nn
