#include "expand/learner.h"

#include <ATen/TensorOperators.h>

#include <limits>
#include <utility>

#include "io/safetensors.h"
#include "io/torch/tensors.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

constexpr char kState[] = "optimizer.safetensors";

// Without clipping the norm is wanted all the same: as a metric, and to notice what is not finite.
nn::OptimizerOptions WithNorm(nn::OptimizerOptions options) {
  if (options.clip == 0) options.clip = std::numeric_limits<double>::infinity();
  return options;
}

}  // namespace

Learner::Learner(TrainModel model, const TrainOptions& options, comm::Communicator& ranks,
                 c10::Device device)
    : model_(std::move(model)),
      optimizer_(TrainedTensors(OnDevice(model_, device), options.model.train, options.opt,
                                options.sched.lr_split_scale),
                 WithNorm(options.opt)),
      gradients_(optimizer_.tensors(), ranks),
      statistics_(model_.network, ranks),
      mask_ramp_(options.model.mask_ramp),
      averages_(options.opt.ema > 0) {
  // A run that is to grow has nothing to hide before.
  if (mask_ramp_ > 0 && (model_.copies || options.expand.staged.empty())) {
    mask_ = MaskOfGrowth(model_);
  }
}

double Learner::AddGradients(const Example& example, const nn::TrainingContext& context) {
  const nn::ModelOutput output = model_.network.Forward(example.inputs, &context);
  const at::Tensor loss = SummedLoss(output, example);
  statistics_.Add(output);
  loss.backward();
  return loss.item().toDouble();
}

double Learner::Update(double learning_rate, double predictions) {
  const double norm = optimizer_.Step(learning_rate, 1 / predictions).value_or(0);
  optimizer_.ClearGradients();
  return norm;
}

void Learner::OpenMask(int64_t steps) {
  if (!mask_) return;
  if (steps >= mask_ramp_) {
    model_.network.transformer()->SetMask(std::nullopt);
    return;
  }
  mask_->open = static_cast<double>(steps) / static_cast<double>(mask_ramp_);
  model_.network.transformer()->SetMask(mask_);
}

std::unique_ptr<nn::AveragedWeights> Learner::Averaged() {
  return averages_ ? std::make_unique<nn::AveragedWeights>(optimizer_) : nullptr;
}

void Learner::Save(const fs::path& directory) const {
  SaveTrainModel(model_, directory);
  io::SaveTensors(directory / kState, optimizer_.ExportState());
}

void Learner::Load(const fs::path& directory) {
  LoadWeights(model_, directory);
  LoadState(directory);
}

void Learner::LoadState(const fs::path& directory) {
  if (!fs::exists(directory / kState)) return;  // a growth that starts the optimiser anew
  optimizer_.ImportState(io::ReadTensors(io::Checkpoint::Open(directory / kState)));
}

int64_t Learner::trained_parameters() const {
  int64_t count = 0;
  for (const nn::OptimizedTensor& t : optimizer_.tensors()) count += t.value.numel();
  return count;
}

}  // namespace orchard::expand
