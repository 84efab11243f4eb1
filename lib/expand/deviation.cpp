#include "expand/deviation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "data/augment.h"
#include "data/open_dataset.h"
#include "expand/logits_compare.h"

namespace orchard::expand {
namespace {

at::Tensor RandomImages(at::IntArrayRef shape, uint64_t seed) {
  at::Tensor images = at::empty(shape, at::kDouble);
  const Philox2 key = PhiloxKey(seed, Hash64("verify images"));
  double* out = images.mutable_data_ptr<double>();
  for (int64_t i = 0; i < images.numel(); ++i) out[i] = NoiseInteger(PhiloxAt(key, i)) * kNoiseUnit;
  return images;
}

bool HasSixteenBits(const io::Checkpoint& weights) {
  return std::any_of(weights.tensors().begin(), weights.tensors().end(),
                     [](const io::TensorInfo& t) {
                       return t.dtype == io::DType::kBF16 || t.dtype == io::DType::kF16;
                     });
}

// The first pictures of a data set, normalised by its own mean and deviation.
at::Tensor StoredImages(const std::filesystem::path& path, int64_t batch, int64_t side) {
  const data::ImageDataset images = data::OpenImages(path, {.size = side});
  const data::ChannelStatistics statistics = data::MeasureChannels(images);
  const data::Augmenter augmenter(images,
                                  {.mean = statistics.mean, .deviation = statistics.deviation}, 0);
  std::vector<int64_t> indices(static_cast<size_t>(std::min(batch, images.size())));
  std::iota(indices.begin(), indices.end(), int64_t{0});
  const data::ImageBatch read = augmenter.Evaluate(indices);
  return at::from_blob(const_cast<float*>(read.pixels.data()),
                       {read.rows, read.channels, read.height, read.width}, at::kFloat)
      .to(at::kDouble);
}

}  // namespace

at::ScalarType ToScalarType(ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32:
      return at::kFloat;
    case ComputeType::kBf16:
      return at::kBFloat16;
    default:
      return at::kDouble;
  }
}

at::Tensor VerifyImages(const VerifyOptions& options, int64_t channels, int64_t height,
                        int64_t width, uint64_t seed) {
  const at::ScalarType compute = ToScalarType(options.compute);
  if (options.images.empty()) {
    return RandomImages({options.batch, channels, height, width}, seed).to(compute);
  }
  const at::Tensor images = StoredImages(options.images, options.batch, height);
  if (images.size(1) != channels) {
    throw UsageError("the pictures have " + std::to_string(images.size(1)) +
                         " channels and the model takes " + std::to_string(channels),
                     options.images.string());
  }
  return images.to(compute);
}

double Largest(const at::Tensor& t) {
  return t.numel() == 0 ? 0 : t.abs().max().to(at::kDouble).item<double>();
}

Deviation CompareStream(const std::string& place, const at::Tensor& source,
                        const at::Tensor& target, const AxisMap& map, int64_t axis,
                        PaddingPromise padding) {
  Deviation d{.place = place};
  for (const CopyRun& run : map.copy_runs()) {
    const at::Tensor from = source.narrow(axis, run.source, run.length);
    for (int64_t t : run.targets) {
      d.largest = std::max(d.largest, Largest(target.narrow(axis, t, run.length) - from));
    }
  }
  const at::Tensor promise =
      padding == PaddingPromise::kMean ? source.mean(axis, true) : at::zeros({1}, source.options());
  for (const PadRun& run : map.pad_runs()) {
    d.padding = std::max(d.padding, Largest(target.narrow(axis, run.target, run.length) - promise));
  }
  d.relative = std::max(d.largest, d.padding) / std::max(Largest(source), 1e-300);
  return d;
}

Deviation CompareOutput(const std::string& place, const at::Tensor& source,
                        const at::Tensor& target) {
  Deviation d{.place = place};
  d.largest = Largest(target - source);
  d.relative = d.largest / std::max(Largest(source), 1e-300);
  return d;
}

void CompareLogits(const at::Tensor& source, const at::Tensor& target, VerifyResult& result) {
  const at::Tensor a = source.to(at::kDouble).reshape({-1, source.size(-1)}).contiguous();
  const at::Tensor b = target.to(at::kDouble).reshape({-1, source.size(-1)}).contiguous();
  std::vector<LogitsComparison> rows(a.size(0));
  ThreadPool pool(DefaultThreads());
  LogitsCompare({.type = FloatType::kF64,
                 .rows = a.size(0),
                 .classes = a.size(1),
                 .a = a.const_data_ptr(),
                 .b = b.const_data_ptr(),
                 .result = rows.data()},
                pool);
  double divergence = 0, agree = 0;
  for (const LogitsComparison& row : rows) {
    divergence += row.kullback_leibler;
    agree += row.top_agrees;
  }
  result.kullback_leibler = divergence / static_cast<double>(rows.size());
  result.top1_agreement = agree / static_cast<double>(rows.size());
}

double AutomaticTolerance(const std::string& exactness, double epsilon, ComputeType compute,
                          int64_t layers, const io::Checkpoint& target) {
  const bool sixteen_bits = HasSixteenBits(target);
  double stored = 1e-11;
  if (exactness == "A'") stored = 2e-6;
  if (exactness == "B") stored = sixteen_bits ? 2e-2 : 2e-6;
  if (exactness == "C") stored = std::max(1e-9, 50 * epsilon);
  if (compute == ComputeType::kF64) return stored;
  const double arithmetic = compute == ComputeType::kF32 ? 1e-5 : 2e-2;
  return std::max(stored, arithmetic * std::sqrt(static_cast<double>(layers)));
}

void Conclude(VerifyResult& result) {
  for (const std::vector<Deviation>* list : {&result.layers, &result.outputs}) {
    for (const Deviation& d : *list) {
      if (result.first_bad.empty() && !(d.relative <= result.tolerance)) result.first_bad = d.place;
    }
  }
  for (const Deviation& d : result.outputs) result.relative = std::max(result.relative, d.relative);
  result.passed = result.first_bad.empty();
}

}  // namespace orchard::expand
