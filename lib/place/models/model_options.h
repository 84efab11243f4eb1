// Sizes of the generated models.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/fields.h"

namespace orchard::place {

// How fine the operators of a generated model are.
enum class Level {
  kOperator,  // every kernel: convolution, normalisation and activation apart
  kLayer      // blocks as one operator: BasicConv, MultiHeadAttention, LSTM cell, ...
};
inline constexpr cli::EnumName<Level> kLevelNames[] = {{"operator", Level::kOperator},
                                                       {"layer", Level::kLayer}};
constexpr auto EnumNames(Level) { return std::span(kLevelNames); }

// A size that is not given is the model's own (docs/methods/baechi-place.md, "Generated models").
struct ModelOptions {
  std::string preset = "rtx2080";
  Level level = Level::kOperator;
  int64_t gpus = 4;
  std::optional<int64_t> batch, length, image, classes, vocabulary;
  std::optional<int64_t> layers, hidden, ffn, heads, experts, top_k;

  void Fields(cli::FieldVisitor& f) {
    f("preset", preset, "models: whose speed their times are estimated for",
      cli::Constraint{.suggestions = "rtx2080 v100 h100 cpu-core"});
    f("level", level, "models: how fine operators are");
    f("gpus", gpus, "models: devices that the expert placement is for", cli::Between(1, 1024));
    f("batch", batch, "models: samples of a step", cli::Between(1, 1 << 20));
    f("length", length, "models of language: tokens of a sample", cli::Between(1, 1 << 16));
    f("image", image, "inception-v3: height and width", cli::Between(75, 4096));
    f("classes", classes, "inception-v3: classes", cli::Between(1, 1 << 24));
    f("vocabulary", vocabulary, "models with embeddings: rows of a table",
      cli::Between(1, 1LL << 32));
    f("layers", layers, "gnmt, transformer-base, moe, two-tower: layers", cli::Between(1, 1000));
    f("hidden", hidden, "the same: width", cli::Between(1, 1 << 20));
    f("ffn", ffn, "transformer-base, moe: inner width of the feed-forward part",
      cli::Between(1, 1 << 20));
    f("heads", heads, "transformer-base, moe: attention heads, which divide the width",
      cli::Between(1, 1024));
    f("experts", experts, "moe: experts of a layer", cli::Between(1, 4096));
    f("top_k", top_k, "moe: experts of a token", cli::Between(1, 4096));
  }
};

}  // namespace orchard::place
