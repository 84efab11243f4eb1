// A model with the state of its training. A run that grows replaces it by a bigger one.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "comm/communicator.h"
#include "expand/evaluate.h"
#include "expand/gradient_sum.h"
#include "expand/running_statistics.h"
#include "expand/train_model.h"
#include "expand/train_options.h"
#include "nn/optimizer.h"

namespace orchard::expand {

class Learner {
 public:
  // Throws as `TrainedTensors` and nn::Optimizer.
  Learner(TrainModel model, const TrainOptions& options, comm::Communicator& ranks,
          c10::Device device);

  TrainModel& model() { return model_; }
  nn::Optimizer& optimizer() { return optimizer_; }
  const nn::Network& network() const { return model_.network; }

  // Forward and backward pass: adds to the gradients and returns the summed loss. Throws as
  // `SummedLoss`.
  double AddGradients(const Example& example, const nn::TrainingContext& context);
  // Ends the passes of a step: gradients are summed over the ranks, running statistics of batch
  // norms take what all of them measured.
  void AllReduce() {
    gradients_.AllReduce();
    statistics_.Apply();
  }
  // One update with the gradients divided by `predictions`; they are gone then. Returns their norm.
  double Update(double learning_rate, double predictions);

  // With model.mask_ramp, hides what the last expansion added as far as it is hidden `steps`
  // updates after it.
  void OpenMask(int64_t steps);

  // The moving average of the weights takes their place while the result lives; null where there is
  // none.
  std::unique_ptr<nn::AveragedWeights> Averaged();

  // Hugging Face directory and optimizer.safetensors, and the reverse: Load wants a model of the
  // same sizes, LoadState the state alone.
  void Save(const std::filesystem::path& directory) const;
  void Load(const std::filesystem::path& directory);
  void LoadState(const std::filesystem::path& directory);

  int64_t trained_parameters() const;

 private:
  TrainModel model_;
  nn::Optimizer optimizer_;
  GradientSum gradients_;
  RunningStatistics statistics_;
  std::optional<nn::GrowthMask> mask_;
  int64_t mask_ramp_;
  bool averages_;
};

}  // namespace orchard::expand
