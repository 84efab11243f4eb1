#include "nn/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "nn/composed_update.h"
#include "nn/fused_launch.h"
#include "nn/parameter_update.h"
#if ORCHARD_HAVE_CUDA
#include "cuda/nn/parameter_update.h"
#endif

namespace orchard::nn {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// The type of masters, moments and averages.
at::ScalarType StateType(const at::Tensor& value) {
  return value.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

bool HasMaster(const at::Tensor& value) { return value.element_size() == 2; }

// The tensors of one step.
struct Batch {
  std::vector<UpdateTensors> tensors;
  std::vector<TensorUpdate> updates;
  bool on_cpu() const { return tensors.empty() || tensors[0].value.is_cpu(); }
};

TensorUpdate Describe(const std::string& name, const UpdateTensors& t) {
  const auto data = [](const at::Tensor& x) { return x.defined() ? x.data_ptr() : nullptr; };
  TensorUpdate u;
  u.name = name.c_str();
  u.type = FloatTypeOf(t.value, "optimizer", name.c_str());
  u.count = t.value.numel();
  u.value = data(t.value);
  u.gradient = data(t.gradient);
  u.master = data(t.master);
  u.first = data(t.first);
  u.second = data(t.second);
  u.average = data(t.average);
  return u;
}

double GradientNorm(const Batch& batch) {
  if (batch.on_cpu()) {
    return std::sqrt(
        SumOfSquares(batch.updates.data(), static_cast<int64_t>(batch.updates.size())));
  }
  const auto wide = batch.tensors[0].gradient.options().dtype(at::kDouble);
  at::Tensor sum = at::zeros({}, wide);
#if ORCHARD_HAVE_CUDA
  if (HasKernels(batch.tensors[0].gradient)) {
    const int64_t count = static_cast<int64_t>(batch.updates.size());
    const at::Tensor workspace = at::empty(
        {cuda::SumOfSquaresWorkspace(batch.updates.data(), count)}, wide.dtype(at::kByte));
    const c10::DeviceGuard guard(sum.device());
    cuda::SumOfSquares(batch.updates.data(), count, workspace.mutable_data_ptr(),
                       sum.mutable_data_ptr<double>(), CurrentStream(sum));
    return std::sqrt(sum.item<double>());
  }
#endif
  for (const UpdateTensors& t : batch.tensors) sum += t.gradient.to(at::kDouble).square().sum();
  return std::sqrt(sum.item<double>());
}

// The first tensor whose gradient is not finite.
std::string Culprit(const Batch& batch) {
  for (size_t i = 0; i < batch.tensors.size(); ++i) {
    if (!batch.tensors[i].gradient.isfinite().all().item<bool>()) return batch.updates[i].name;
  }
  return "sum over all tensors";
}

// An update by the kernel's twin on the CPU, by the kernel on CUDA, by ATen elsewhere and where no
// kernels are compiled in.
template <class Args>
struct UpdateForms {
  void (*twin)(const Args&);
  void (*kernel)(const Args&, Stream);
  void (*composed)(const Args&, const TensorUpdate&, const UpdateTensors&, double);
};

template <class Args>
void Run(Args args, const Batch& batch, double gradient_scale, double average_decay,
         const UpdateForms<Args>& forms) {
  args.tensors = batch.updates.data();
  args.tensor_count = static_cast<int64_t>(batch.updates.size());
  args.gradient_scale = &gradient_scale;
  args.average_decay = average_decay;
  if (batch.on_cpu()) return forms.twin(args);
  const at::Tensor& first = batch.tensors[0].value;
  if (HasKernels(first)) {
    const at::Tensor scale = at::full({}, gradient_scale, first.options().dtype(at::kDouble));
    args.gradient_scale = scale.const_data_ptr<double>();
    return Launch(first, args, forms.twin, forms.kernel);
  }
  for (size_t i = 0; i < batch.tensors.size(); ++i) {
    forms.composed(args, batch.updates[i], batch.tensors[i], gradient_scale);
  }
}

void Check(const OptimizerOptions& o) {
  if (o.betas.size() != 2 || o.betas[0] >= 1 || o.betas[1] >= 1) {
    throw UsageError("AdamW needs two betas in [0, 1)", "opt.betas");
  }
  if (o.ema < 0 || o.ema >= 1) throw UsageError("the average's decay is in [0, 1)", "opt.ema");
}

}  // namespace

bool DecaysWeight(std::string_view name, std::span<const std::string> no_decay) {
  const std::string lower = Lower(name);
  return std::none_of(no_decay.begin(), no_decay.end(), [&](const std::string& part) {
    return lower.find(Lower(part)) != std::string::npos;
  });
}

Optimizer::Optimizer(std::vector<OptimizedTensor> tensors, const OptimizerOptions& options)
    : tensors_(std::move(tensors)), states_(tensors_.size()), options_(options) {
  Check(options);
  const c10::NoGradGuard no_grad;
  std::set<std::string> names;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const OptimizedTensor& t = tensors_[i];
    FloatTypeOf(t.value, "optimizer", t.name.c_str());
    Require(t.value.is_contiguous(), "optimizer", t.name.c_str(), "is not contiguous");
    Require(names.insert(t.name).second, "optimizer", t.name.c_str(), "comes twice");
    if (options.ema > 0) states_[i].average = t.value.detach().to(StateType(t.value)).clone();
  }
}

Optimizer::State& Optimizer::Prepare(size_t index) {
  State& s = states_[index];
  const at::Tensor value = tensors_[index].value.detach();
  const auto options = value.options().dtype(StateType(value));
  if (!s.first.defined()) s.first = at::zeros(value.sizes(), options);
  if (!s.second.defined() && options_.name == OptimizerKind::kAdamW) {
    s.second = at::zeros(value.sizes(), options);
  }
  if (!s.master.defined() && HasMaster(value)) s.master = value.to(StateType(value));
  return s;
}

std::optional<double> Optimizer::Step(double learning_rate, double gradient_scale) {
  const c10::NoGradGuard no_grad;
  Batch batch;
  std::vector<State*> states;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const OptimizedTensor& t = tensors_[i];
    if (!t.value.grad().defined()) continue;
    const State& s = *states.emplace_back(&Prepare(i));
    const UpdateTensors u{t.value.detach(), t.value.grad().to(t.value.scalar_type()).contiguous(),
                          s.master,         s.first,
                          s.second,         s.average};
    batch.tensors.push_back(u);
    batch.updates.push_back(Describe(t.name, u));
    batch.updates.back().learning_rate = learning_rate * t.lr_scale;
    batch.updates.back().weight_decay = t.decays ? options_.weight_decay : 0;
    batch.updates.back().step = s.step + 1;
  }
  std::optional<double> norm;
  if (options_.clip > 0 && !states.empty()) {
    norm = gradient_scale * GradientNorm(batch);
    if (!std::isfinite(*norm)) throw DivergedError("the gradient is not finite", Culprit(batch));
    // The small number, PyTorch's, keeps the quotient finite.
    gradient_scale *= std::min(1.0, options_.clip / (*norm + 1e-6));
  }
  if (options_.name == OptimizerKind::kAdamW) {
    Run(AdamWArgs{{}, options_.betas[0], options_.betas[1], options_.eps}, batch, gradient_scale,
        options_.ema, {&AdamW, ORCHARD_KERNEL(AdamW), &ComposedAdamW});
  } else {
    Run(SgdArgs{{}, options_.momentum, options_.nesterov}, batch, gradient_scale, options_.ema,
        {&Sgd, ORCHARD_KERNEL(Sgd), &ComposedSgd});
  }
  for (State* s : states) ++s->step;
  return norm;
}

void Optimizer::ClearGradients() {
  for (OptimizedTensor& t : tensors_) t.value.mutable_grad().reset();
}

}  // namespace orchard::nn
