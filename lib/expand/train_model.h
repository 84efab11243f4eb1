// The model of a training run: where its weights come from, which of them are trained, and how it
// is written back.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "expand/batches.h"
#include "expand/plan.h"
#include "expand/train_options.h"
#include "nn/network.h"
#include "nn/optimizer.h"

namespace orchard::expand {

struct TrainModel {
  arch::Json config;  // config.json, as it will be saved
  nn::Network network;
  std::optional<AxisMaps> copies;   // where it is a Transformer with the weights of an expansion
  std::filesystem::path directory;  // that it came from, with its tokenizer and account; or empty
};

// The class of transformers for a model of this type with a head for labels; empty where there is
// none.
std::string ClassifierClass(const std::string& model_type);

// The types of weights and of matrix products.
at::ScalarType WeightType(Precision precision);
at::ScalarType ScalarTypeOf(Precision precision);

// The model that `options` ask for, trainable: loaded, or with fresh weights by `seed`. `shape`
// says what a new model must be made for. For DataKind::kLabels a loaded model loses the heads of
// its pre-training and gets a fresh one where it has none of the right size. Throws DataError,
// ImpossibleError, UsageError.
TrainModel OpenTrainModel(const TrainModelOptions& options, const DataShape& shape, DataKind kind,
                          Precision precision, uint64_t seed);

// The same model with the weights of a checkpoint of it. Throws DataError where they do not fit.
void LoadWeights(TrainModel& model, const std::filesystem::path& checkpoint);

// The same model with its tensors on `device`.
TrainModel& OnDevice(TrainModel& model, c10::Device device);

// What the optimiser updates: all parameters that are trained rather than measured, or for
// Trained::kNew those of the layers that lemon_expand.json beside the model calls new; the others
// stop asking for gradients. Throws UsageError when there are none.
std::vector<nn::OptimizedTensor> TrainedTensors(TrainModel& model, Trained trained,
                                                const nn::OptimizerOptions& optimizer,
                                                SplitRate split_rate = SplitRate::kOne);

// What hides the units and layers that the model's last expansion added (nn/growth_mask.h). Throws
// UsageError unless that was by zero padding, which leaves the old units' weights whole.
nn::GrowthMask MaskOfGrowth(const TrainModel& model);

// Writes a Hugging Face directory: weights, config.json, and what belongs to the model besides
// (tokenizer, account of its expansion).
void SaveTrainModel(const TrainModel& model, const std::filesystem::path& directory);

}  // namespace orchard::expand
