#include "sync/replica.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/topk.h>

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/torch/tensors.h"

namespace orchard::sync {
namespace {

ArenaLayout LayoutOf(const nn::Classifier& network) {
  std::vector<TensorShape> tensors;
  for (const nn::Parameter& p : network.parameters().all()) {
    if (!p.measured) tensors.push_back({p.name, p.value.sizes().vec()});
  }
  return ArenaLayout(tensors);
}

int64_t StatisticsOf(const nn::Classifier& network) {
  int64_t size = 0;
  for (const nn::Parameter& p : network.parameters().all())
    size += p.measured ? p.value.numel() : 0;
  return size;
}

at::Tensor View(float* data, at::IntArrayRef shape, const Device& device = Device::Cpu()) {
  const auto options = at::TensorOptions().dtype(at::kFloat);
  if (device.is_cpu()) return at::from_blob(data, shape, options);
  return at::from_blob(data, shape,
                       options.device(c10::kCUDA, static_cast<c10::DeviceIndex>(device.index())));
}

// Runs `call` after a node of the graph that autograd keeps.
class PostHook : public torch::autograd::FunctionPostHook {
 public:
  explicit PostHook(std::function<void()> call) : call_(std::move(call)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) override {
    call_();
    return outputs;
  }

 private:
  std::function<void()> call_;
};

}  // namespace

// The nodes that accumulate gradients run after everything that has read their weight.
class Replica::ReadyHooks {
 public:
  explicit ReadyHooks(Replica& replica) {
    size_t slot = 0;
    for (const nn::Parameter& p : replica.network_->parameters().all()) {
      if (p.measured) continue;
      auto accumulator = torch::autograd::impl::grad_accumulator(p.value);
      const uintptr_t key = accumulator->add_post_hook(
          std::make_unique<PostHook>([&replica, slot] { replica.ready_(slot); }));
      hooks_.emplace_back(std::move(accumulator), key);
      ++slot;
    }
  }
  ~ReadyHooks() {
    for (const auto& [accumulator, key] : hooks_) accumulator->del_post_hook(key);
  }
  ReadyHooks(const ReadyHooks&) = delete;
  ReadyHooks& operator=(const ReadyHooks&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> hooks_;
};

Replica::Replica(std::unique_ptr<nn::Classifier> network, const Device& device)
    : device_(device),
      network_(std::move(network)),
      layout_(LayoutOf(*network_)),
      values_(layout_.size(), device.arenas()),
      gradient_(layout_.size(), device.arenas()),
      statistics_(StatisticsOf(*network_), device.arenas()) {
  const at::NoGradGuard no_grad;
  auto slot = layout_.slots().begin();
  float* statistic = statistics_.data();
  for (const nn::Parameter& p : network_->parameters().all()) {
    at::Tensor value = p.value;  // a handle: the network's own tensor
    float* place = p.measured ? std::exchange(statistic, statistic + value.numel())
                              : values_.data() + slot->offset;
    std::memcpy(place, value.const_data_ptr<float>(), value.nbytes());
    value.set_data(View(place, value.sizes(), device));
    if (p.measured) continue;
    value.requires_grad_(true);
    value.mutable_grad() = View(gradient_.data() + slot->offset, value.sizes(), device);
    ++slot;
  }
}

Replica::~Replica() = default;

at::Tensor Replica::OnDevice(const at::Tensor& tensor) const {
  if (device_.is_cpu()) return tensor;
  return tensor.to(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device_.index())));
}

double Replica::Gradient(const at::Tensor& inputs, const at::Tensor& labels,
                         const std::function<void(double)>& start,
                         const std::function<void(size_t)>& ready) {
  View(gradient_.data(), {gradient_.size()}, device_).zero_();
  const at::Tensor loss =
      at::cross_entropy_loss(network_->Forward(OnDevice(inputs), true), OnDevice(labels));
  const double value = loss.item().toDouble();
  if (start) start(value);
  if (ready) {
    ready_ = ready;
    hooks_ = std::make_unique<ReadyHooks>(*this);
  }
  loss.backward();
  hooks_.reset();
  device_.Wait();
  return value;
}

Replica::Scores Replica::Evaluate(const at::Tensor& inputs, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const at::Tensor logits = network_->Forward(OnDevice(inputs), false).cpu();
  Scores scores;
  scores.loss = at::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum).item().toDouble();
  const int64_t classes = logits.size(1), best = std::min<int64_t>(5, classes);
  const at::Tensor ranked = std::get<1>(at::topk(logits, best)).contiguous();
  const int64_t* predicted = ranked.const_data_ptr<int64_t>();
  const int64_t* truth = labels.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    const int64_t* row = predicted + i * best;
    scores.top1 += row[0] == truth[i] ? 1 : 0;
    scores.top5 += std::find(row, row + best, truth[i]) != row + best ? 1 : 0;
  }
  return scores;
}

void Replica::MeasureStatistics(const at::Tensor& inputs) {
  const at::NoGradGuard no_grad;
  network_->Forward(OnDevice(inputs), true);
  device_.Wait();
}

void Replica::Load(const std::filesystem::path& file) {
  const at::NoGradGuard no_grad;
  const auto checkpoint = io::Checkpoint::Open(file);
  for (const nn::Parameter& p : network_->parameters().all()) {
    const at::Tensor stored = io::ReadTensor(checkpoint, p.name);
    if (stored.sizes() != p.value.sizes()) {
      throw DataError("a tensor of another shape", checkpoint.Where(checkpoint.Get(p.name)));
    }
    at::Tensor value = p.value;
    value.copy_(stored);
  }
  device_.Wait();
}

std::map<std::string, at::Tensor> Replica::NamedTensors(std::span<const float> values,
                                                        std::span<const float> statistics) const {
  std::map<std::string, at::Tensor> tensors;
  auto slot = layout_.slots().begin();
  const float* statistic = statistics.data();
  for (const nn::Parameter& p : network_->parameters().all()) {
    const float* place = p.measured ? std::exchange(statistic, statistic + p.value.numel())
                                    : values.data() + (slot++)->offset;
    tensors[p.name] = View(const_cast<float*>(place), p.value.sizes()).clone();
  }
  return tensors;
}

}  // namespace orchard::sync
