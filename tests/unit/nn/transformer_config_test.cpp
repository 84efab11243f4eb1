#include "nn/transformer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "unit/nn/tiny_models.h"

namespace orchard::nn {
namespace {

TransformerConfig Parse(const std::string& model_type, const std::string& more = "{}") {
  return ParseTransformerConfig(Merge(TinyConfig(model_type), more), model_type);
}

std::string Refusal(const std::string& model_type, const std::string& more) {
  try {
    Parse(model_type, more);
  } catch (const ImpossibleError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TransformerConfig, ReadsRotaryParametersOfBothGenerations) {
  const auto old_style =
      Parse("llama", R"({"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}})");
  const auto new_style =
      Parse("llama",
            R"({"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}})");
  for (const TransformerConfig& config : {old_style, new_style}) {
    ASSERT_TRUE(config.rope.has_value());
    EXPECT_EQ(config.rope->theta, 500);
    EXPECT_EQ(config.rope->factor, 2);
    EXPECT_EQ(config.rope->scaling, RopeConfig::Scaling::kLinear);
  }
  EXPECT_EQ(Parse("gpt_neox", R"({"rotary_pct": 0.5})").rope->dim, 2);
  EXPECT_EQ(Parse("mixtral").rope->theta, 1e6);
}

TEST(TransformerConfig, NullAndAbsentWindowsDiffer) {
  arch::Json config = TinyConfig("mistral");
  config.erase("sliding_window");
  EXPECT_EQ(ParseTransformerConfig(config, "mistral").window, 4096);
  EXPECT_EQ(Parse("mistral", R"({"sliding_window": null})").window, 0);
}

TEST(TransformerConfig, LayerTypesWin) {
  const auto config =
      Parse("gemma2", R"({"layer_types": ["full_attention", "sliding_attention"]})");
  EXPECT_THAT(config.layer_is_sliding, testing::ElementsAre(false, true));
  EXPECT_THAT(Parse("gemma2").layer_is_sliding, testing::ElementsAre(true, false));
}

TEST(TransformerConfig, RefusesWhatItDoesNotCompute) {
  using testing::HasSubstr;
  EXPECT_THAT(Refusal("llama", R"({"hidden_act": "mish"})"), HasSubstr("hidden_act"));
  EXPECT_THAT(Refusal("llama", R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})"),
              HasSubstr("rope_type"));
  EXPECT_THAT(Refusal("bert", R"({"position_embedding_type": "relative_key"})"),
              HasSubstr("position_embedding_type"));
  EXPECT_THAT(Refusal("bert", R"({"is_decoder": true})"), HasSubstr("is_decoder"));
  EXPECT_THAT(Refusal("opt", R"({"word_embed_proj_dim": 8})"), HasSubstr("word_embed_proj_dim"));
  EXPECT_THAT(Refusal("opt", R"({"do_layer_norm_before": false})"),
              HasSubstr("do_layer_norm_before"));
  EXPECT_THAT(Refusal("dinov2", R"({"use_swiglu_ffn": true})"), HasSubstr("use_swiglu_ffn"));
  EXPECT_THAT(Refusal("llama", R"({"quantization_config": {"bits": 4}})"),
              HasSubstr("quantization_config"));
  EXPECT_THAT(Refusal("gemma2", R"({"layer_types": ["chunked_attention", "full_attention"]})"),
              HasSubstr("layer_types"));
}

TEST(TransformerConfig, NamesTheKeyThatIsWrong) {
  for (const auto& [more, key] : {std::pair{R"({"hidden_size": "12"})", "hidden_size"},
                                  {R"({"num_hidden_layers": 0})", "num_hidden_layers"},
                                  {R"({"num_key_value_heads": 4})", "num_key_value_heads"},
                                  {R"({"rms_norm_eps": true})", "rms_norm_eps"},
                                  {R"({"rope_theta": -1.0})", "rope_theta"}}) {
    try {
      Parse("llama", more);
      FAIL() << more;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(key));
    }
  }
}

TEST(TransformerConfig, RobertaPositionsStartAfterThePadding) {
  EXPECT_EQ(Parse("roberta").positions, 30);  // 32 rows, pad 1
}

}  // namespace
}  // namespace orchard::nn
