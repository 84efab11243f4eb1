#include "sync/replica.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/torch/tensors.h"

namespace orchard::sync {
namespace {

ArenaLayout LayoutOf(const nn::ImageNetwork& network) {
  std::vector<TensorShape> tensors;
  for (const nn::Parameter& p : network.parameters().all()) {
    if (!p.measured) tensors.push_back({p.name, p.value.sizes().vec()});
  }
  return ArenaLayout(tensors);
}

int64_t StatisticsOf(const nn::ImageNetwork& network) {
  int64_t size = 0;
  for (const nn::Parameter& p : network.parameters().all())
    size += p.measured ? p.value.numel() : 0;
  return size;
}

at::Tensor View(float* data, at::IntArrayRef shape) {
  return at::from_blob(data, shape, at::TensorOptions().dtype(at::kFloat));
}

}  // namespace

std::unique_ptr<nn::ImageNetwork> MakeNetwork(const SyncModelOptions& options,
                                              const data::ImageDataset& images, uint64_t seed) {
  nn::ImageNetworkOptions network;
  network.shape = {images.channels(), images.height(), images.width(), images.classes()};
  network.init = options.torch_init ? nn::WeightInit::kTorch : nn::WeightInit::kXavier;
  network.stem_norms = options.stem_norms;
  network.seed = seed;
  return nn::MakeImageNetwork(options.arch, network);
}

Replica::Replica(std::unique_ptr<nn::ImageNetwork> network)
    : network_(std::move(network)),
      layout_(LayoutOf(*network_)),
      values_(layout_.size()),
      gradient_(layout_.size()),
      statistics_(StatisticsOf(*network_)) {
  const at::NoGradGuard no_grad;
  auto slot = layout_.slots().begin();
  float* statistic = statistics_.data();
  for (const nn::Parameter& p : network_->parameters().all()) {
    at::Tensor value = p.value;  // a handle: the network's own tensor
    float* place = p.measured ? std::exchange(statistic, statistic + value.numel())
                              : values_.data() + slot->offset;
    std::memcpy(place, value.const_data_ptr<float>(), value.nbytes());
    value.set_data(View(place, value.sizes()));
    if (p.measured) continue;
    value.requires_grad_(true);
    value.mutable_grad() = View(gradient_.data() + slot->offset, value.sizes());
    ++slot;
  }
}

Replica::~Replica() = default;

double Replica::Gradient(const at::Tensor& images, const at::Tensor& labels) {
  std::memset(gradient_.data(), 0, gradient_.span().size_bytes());
  const at::Tensor loss = at::cross_entropy_loss(network_->Forward(images, true), labels);
  loss.backward();
  return loss.item().toDouble();
}

Replica::Scores Replica::Evaluate(const at::Tensor& images, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const at::Tensor logits = network_->Forward(images, false);
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

void Replica::MeasureStatistics(const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  network_->Forward(images, true);
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
