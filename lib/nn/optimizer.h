// AdamW and SGD over all tensors of a model in one pass, with clipping by the global norm, a moving
// average of the weights, and a step counter per tensor: layers that join a model later start their
// own bias correction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/fields.h"

namespace orchard::nn {

enum class OptimizerKind { kAdamW, kSgd };
inline constexpr cli::EnumName<OptimizerKind> kOptimizerKindNames[] = {
    {"adamw", OptimizerKind::kAdamW}, {"sgd", OptimizerKind::kSgd}};
constexpr auto EnumNames(OptimizerKind) { return std::span(kOptimizerKindNames); }

struct OptimizerOptions {
  OptimizerKind name = OptimizerKind::kAdamW;
  double lr = 1e-3;                          // at the peak of the schedule
  std::vector<double> betas = {0.9, 0.999};  // AdamW
  double eps = 1e-8;                         // AdamW
  double momentum = 0.9;                     // SGD
  bool nesterov = false;                     // SGD
  double weight_decay = 0.01;                // AdamW: decoupled; SGD: part of the gradient
  std::vector<std::string> no_decay = {"bias", "norm"};  // see DecaysWeight
  double clip = 0;                                       // largest global gradient norm; 0: off
  double ema = 0;                                        // decay of the weight average; 0: off

  void Fields(cli::FieldVisitor& f) {
    f("name", name, "optimiser");
    f("lr", lr, "peak learning rate", cli::Positive());
    f("betas", betas, "AdamW: decay of the two moments", cli::Between(0, 1));
    f("eps", eps, "AdamW: added to the root of the second moment", cli::AtLeast(0));
    f("momentum", momentum, "SGD: decay of the momentum buffer", cli::Between(0, 1));
    f("nesterov", nesterov, "SGD: look ahead");
    f("weight_decay", weight_decay, "weight decay", cli::AtLeast(0));
    f("no_decay", no_decay, "no weight decay for tensors with one of these in their name");
    f("clip", clip, "largest global gradient norm (0: off)", cli::AtLeast(0));
    f("ema", ema, "decay of the moving average of the weights (0: off)", cli::Between(0, 1));
  }
};

// False when `name` contains one of `no_decay`, whatever the case of the letters.
bool DecaysWeight(std::string_view name, std::span<const std::string> no_decay);

struct OptimizedTensor {
  std::string name;     // key of its state; unique
  at::Tensor value;     // contiguous f32, f64, bf16 or f16; updated in place. 16-bit weights get an
                        // f32 master
  bool decays = true;   // whether weight decay applies
  double lr_scale = 1;  // of the learning rate, e.g. 1/K for maps that are split over K copies
};

class Optimizer {
 public:
  // Throws UsageError for options that make no sense, a tensor of another type, or a name that
  // comes twice.
  Optimizer(std::vector<OptimizedTensor> tensors, const OptimizerOptions& options);

  // Updates every tensor that has a gradient (`value.grad()`); the others keep value, state and
  // step counter.
  //   learning_rate   of this step
  //   gradient_scale  multiplies the gradients first: 1 / (ranks x micro-batches) for sums
  // Returns the global gradient norm before clipping, where clipping is on. Throws DivergedError,
  // naming a tensor, when that norm is not finite; nothing has been changed then.
  std::optional<double> Step(double learning_rate, double gradient_scale = 1);

  // Drops all gradients.
  void ClearGradients();

  // Everything a resumed run needs, for optimizer.safetensors. Per tensor that has been updated:
  // "step.NAME" (i64), "exp_avg.NAME" and "exp_avg_sq.NAME" (AdamW) or "momentum_buffer.NAME"
  // (SGD), "master.NAME" (16-bit weights), "ema.NAME". State shares memory with the optimiser:
  // write it before the next step.
  std::map<std::string, at::Tensor> ExportState() const;

  // The reverse. Tensors without state start fresh. Throws DataError, naming the entry, when one
  // belongs to no tensor or has the wrong shape, or when a tensor's state is incomplete.
  void ImportState(const std::map<std::string, at::Tensor>& state);

  // The moving average of each tensor, in the order given and the type of the value. Throws
  // UsageError when `ema` is off.
  std::vector<at::Tensor> Averages() const;

  const std::vector<OptimizedTensor>& tensors() const { return tensors_; }

 private:
  // What a tensor carries from step to step. Made at its first gradient, so that frozen tensors
  // cost nothing.
  struct State {
    int64_t step = 0;  // updates so far
    at::Tensor master, first, second;
    at::Tensor average;  // from the beginning where averaging is on
  };
  State& Prepare(size_t index);
  std::vector<std::pair<std::string, at::Tensor State::*>> StateNames(
      const OptimizedTensor& t) const;

  std::vector<OptimizedTensor> tensors_;
  std::vector<State> states_;
  OptimizerOptions options_;
};

// While it lives, the tensors hold their moving averages: for evaluation.
class AveragedWeights {
 public:
  explicit AveragedWeights(Optimizer& optimizer);
  ~AveragedWeights();
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  Optimizer& optimizer_;
  std::vector<at::Tensor> saved_;
};

}  // namespace orchard::nn
