// A small language model for experiments: GPT-2 in any size (Radford et al., 2019), told by a short
// text such as "gpt2:4-128-4".
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "nn/classifier.h"

namespace orchard::nn {

struct TransformerLmOptions {
  int64_t vocabulary = 256;
  int64_t context = 128;  // tokens it can see, rows of the position table
  uint64_t seed = 0;
};

//   gpt2:L-D-H  L causal blocks of width D with H heads: LayerNorm before attention and before an
//               MLP of 4 D units (GELU), learned positions, output weights tied to the embedding
// Inputs are tokens [N, T] int64 with T <= context, logits [N T, vocabulary] of the token after
// each. Tensors have their names in Hugging Face's GPT2LMHeadModel. Weights are drawn as GPT-2's:
// normal of 0.02, into the residual stream 0.02 / sqrt(2 L). There is no dropout. Throws UsageError
// for other texts, and where H does not divide D.
std::unique_ptr<Classifier> MakeTransformerLm(std::string_view text,
                                              const TransformerLmOptions& options);

// Its config.json, as transformers reads it.
nlohmann::ordered_json TransformerLmConfig(std::string_view text,
                                           const TransformerLmOptions& options);

}  // namespace orchard::nn
