// Which activation a layer uses.
#pragma once

namespace orchard::nn {

// kGelu is x Phi(x) by erf (BERT, ViT), kGeluTanh its tanh form (GPT-2 "gelu_new", Gemma), kSilu x
// / (1 + exp(-x)).
enum class Activation { kGelu, kGeluTanh, kSilu };

}  // namespace orchard::nn
