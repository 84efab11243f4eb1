#include "segment/batch_loader.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <vector>

namespace orchard::segment {
namespace {

void Put(const Patch& patch, int64_t n, const at::Tensor& image, const at::Tensor& labels) {
  std::copy(patch.image.begin(), patch.image.end(),
            image.mutable_data_ptr<float>() + n * std::ssize(patch.image));
  std::copy(patch.labels.begin(), patch.labels.end(),
            labels.mutable_data_ptr<uint8_t>() + n * std::ssize(patch.labels));
}

at::Tensor Moved(const at::Tensor& x, c10::Device device) {
  // Of pinned memory the copy is asynchronous; LibTorch keeps the memory until it is done.
  return x.defined() ? x.to(x.options().device(device), /*non_blocking=*/true) : x;
}

}  // namespace

BatchLoader::BatchLoader(const Sampler& sampler, const Plan& plan, const BatchSetting& setting)
    : sampler_(sampler),
      plan_(plan),
      setting_(setting),
      pool_(static_cast<int>(std::clamp<int64_t>(plan.batch, 1, setting.threads))),
      step_(setting.first) {
  Begin();
}

void BatchLoader::Begin() {
  if (step_ >= setting_.last) return;
  next_ = std::async(std::launch::async, [this, step = step_] { return Draw(step); });
}

SampleBatch BatchLoader::Next() {
  const SampleBatch drawn = next_.get();
  ++step_;
  Begin();
  const c10::Device device = setting_.device;
  if (device.is_cpu()) return drawn;
  return {Moved(drawn.image, device), Moved(drawn.labels, device),
          Moved(drawn.template_image, device), Moved(drawn.template_labels, device), drawn.classes};
}

SampleBatch BatchLoader::Draw(int64_t step) {
  const int64_t batch = plan_.batch;
  std::vector<Sample> samples(static_cast<size_t>(batch));
  const int64_t first = (step * setting_.ranks + setting_.rank) * batch;
  const Episode episode = setting_.episodes ? setting_.episodes->ForStep(step) : Episode{};
  pool_.ForEach(batch, [&](int64_t n) {
    const auto number = static_cast<uint64_t>(first + n);
    samples[static_cast<size_t>(n)] =
        setting_.episodes ? setting_.episodes->Draw(number, episode) : sampler_.Draw(number);
  });
  const volume::Size3& p = plan_.patch;
  const auto channels = static_cast<int64_t>(plan_.channels.size());
  const std::array<int64_t, 5> image_shape = {batch, channels, p[2], p[1], p[0]};
  const std::array<int64_t, 4> label_shape = {batch, p[2], p[1], p[0]};
  // Pinned memory belongs to a device's context: this thread's must be the right one.
  const bool pinned = !setting_.device.is_cpu();
  std::optional<c10::DeviceGuard> guard;
  if (pinned) guard.emplace(setting_.device);
  const auto options = at::TensorOptions().dtype(at::kFloat).pinned_memory(pinned);
  SampleBatch b;
  b.classes.resize(static_cast<size_t>(setting_.episodes ? episode.classes : plan_.classes()));
  std::iota(b.classes.begin(), b.classes.end(), int64_t{1});
  b.image = at::empty(image_shape, options);
  b.labels = at::empty(label_shape, options.dtype(at::kByte));
  if (setting_.with_templates) {
    b.template_image = at::empty(image_shape, options);
    b.template_labels = at::empty(label_shape, options.dtype(at::kByte));
  }
  for (int64_t n = 0; n < batch; ++n) {
    const Sample& s = samples[static_cast<size_t>(n)];
    Put(s.target, n, b.image, b.labels);
    if (setting_.with_templates) Put(s.example, n, b.template_image, b.template_labels);
  }
  return b;
}

}  // namespace orchard::segment
