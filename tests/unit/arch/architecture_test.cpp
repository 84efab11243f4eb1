#include "arch/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace orchard::arch {
namespace {

TEST(FindArchitecture, KnowsEveryFamilyOfTheTable) {
  EXPECT_THAT(
      KnownArchitectures(),
      testing::IsSupersetOf({"llama",      "mistral", "qwen2",      "qwen3",    "gemma", "gemma2",
                             "phi3",       "olmo2",   "gpt2",       "gpt_neox", "opt",   "bert",
                             "bert_preln", "roberta", "distilbert", "vit",      "deit",  "timm_vit",
                             "dinov2",     "mixtral", "qwen3_moe"}));
}

TEST(FindArchitecture, NamesTheKnownTypesWhenAskedForAnother) {
  try {
    FindArchitecture("mamba");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kImpossible);
    EXPECT_THAT(e.what(), testing::HasSubstr("gpt2"));
  }
}

TEST(Architecture, FindsLayerAndExpert) {
  const auto match =
      FindArchitecture("mixtral").Find("model.layers.12.block_sparse_moe.experts.3.w2.weight");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->layer, 12);
  EXPECT_EQ(match->expert, 3);
  EXPECT_EQ(match->Slot(), "layer.12.expert.3.down.weight");
  EXPECT_EQ(Architecture::NameOf(*match, 4, 3),
            "model.layers.4.block_sparse_moe.experts.3.w2.weight");
}

TEST(Architecture, AcceptsPrefixesAndOldNames) {
  const Architecture& bert = FindArchitecture("bert");
  for (const char* name :
       {"encoder.layer.0.output.LayerNorm.gamma", "bert.encoder.layer.0.output.LayerNorm.weight"}) {
    const auto match = bert.Find(name);
    ASSERT_TRUE(match) << name;
    EXPECT_EQ(match->Slot(), "layer.0.mlp_norm.weight");
  }
}

TEST(Architecture, DoesNotGuess) {
  const Architecture& llama = FindArchitecture("llama");
  for (const char* name :
       {"", "model.layers.x.mlp.up_proj.weight", "model.layers..mlp.up_proj.weight",
        "model.layers.01.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight2",
        "model.layers.99999999999999999999.mlp.up_proj.weight", "adapter.weight"}) {
    EXPECT_FALSE(llama.Find(name)) << name;
  }
}

TEST(Sizes, ComeFromTheConfigurationWithTheClassDefaults) {
  const Json config = {{"n_embd", 48}, {"n_layer", 3}, {"n_head", 6}};
  EXPECT_EQ(ReadSizes(FindArchitecture("gpt2"), config, "config.json"),
            (Sizes{48, 3, 6, 6, 8, 192}));
  const Json qwen = {{"hidden_size", 64},        {"num_hidden_layers", 2},
                     {"num_attention_heads", 6}, {"num_key_value_heads", 3},
                     {"head_dim", 16},           {"intermediate_size", 100}};
  EXPECT_EQ(ReadSizes(FindArchitecture("qwen3"), qwen, "config.json"),
            (Sizes{64, 2, 6, 3, 16, 100}));
}

TEST(Sizes, NameTheKeyThatIsWrong) {
  for (const Json& config :
       {Json{{"n_embd", 48}, {"n_layer", 3}, {"n_head", 5}}, Json{{"n_embd", -1}},
        Json{{"n_embd", "48"}}, Json{{"n_embd", 1e300}}}) {
    EXPECT_THROW(ReadSizes(FindArchitecture("gpt2"), config, "config.json"), DataError) << config;
  }
}

TEST(CheckRefusals, ExplainsWhatTheTableRefuses) {
  const Architecture& opt = FindArchitecture("opt");
  EXPECT_NO_THROW(
      CheckRefusals(opt, opt.refuse, {{"hidden_size", 8}, {"word_embed_proj_dim", 8}}, ""));
  EXPECT_THROW(CheckRefusals(opt, opt.refuse, {{"do_layer_norm_before", false}}, ""),
               ImpossibleError);
  EXPECT_THROW(CheckRefusals(opt, opt.refuse, {{"hidden_size", 8}, {"word_embed_proj_dim", 4}}, ""),
               ImpossibleError);
}

TEST(ParseArchitecture, SaysWhatIsWrong) {
  EXPECT_THROW(ParseArchitecture("{", "mine.json"), DataError);
  EXPECT_THROW(
      ParseArchitecture(R"({"model_type":"x","block":"odd","norm":"rms","config":{},"tensors":[]})",
                        "m"),
      DataError);
  EXPECT_THROW(ParseArchitecture(
                   R"({"model_type":"x","block":"pre","norm":"rms",
                       "config":{"hidden":"h","layers":"l","heads":"n"},
                       "tensors":[{"name":"w","kind":"linear","axes":["R"]}]})",
                   "m"),
               DataError);
}

}  // namespace
}  // namespace orchard::arch
