// The models of the paper and two more, as graphs with analytic costs (analytic_cost.h). What each
// consists of and its default sizes: docs/methods/baechi-place.md, "Generated models".
#pragma once

#include "place/models/model_builder.h"
#include "place/models/model_options.h"

namespace orchard::place {

// Szegedy et al., 2015, without the auxiliary classifier; batch 32, images of 299 x 299.
Model InceptionV3(const ModelOptions& options);
// Wu et al., 2016, as in TensorFlow's NMT: LSTM cells unrolled over `length` steps; batch 128.
Model Gnmt(const ModelOptions& options);
// Vaswani et al., 2017: 6 + 6 layers of width 512; batch 64 of length 50.
Model TransformerBase(const ModelOptions& options);
// A decoder whose feed-forward parts are mixtures of experts, after GShard (Lepikhin et al., 2020).
Model MixtureOfExperts(const ModelOptions& options);
// A recommender: two embeddings with a multi-layer perceptron each, and in-batch softmax.
Model TwoTower(const ModelOptions& options);

}  // namespace orchard::place
