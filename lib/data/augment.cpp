#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "data/random_stream.h"

namespace orchard::data {
namespace {

// Gamma(shape, 1) by rejection (Marsaglia and Tsang, 2000); shapes below 1 by the boost of their
// section 6.
double Gamma(RandomStream& random, double shape) {
  if (shape < 1) return Gamma(random, shape + 1) * std::pow(1 - random.Uniform(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.Normal();
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - random.Uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double Beta(RandomStream& random, double alpha) {
  const double a = Gamma(random, alpha), b = Gamma(random, alpha);
  return a + b > 0 ? a / (a + b) : 0.5;
}

struct Box {
  int64_t top, left, height, width;
};

// A rectangle of 2 to 33 % of the area and a side ratio of 0.3 to 3.3; ten tries, as the published
// code has it.
Box EraseBox(RandomStream& random, int64_t height, int64_t width) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area =
        (0.02 + random.Uniform() * (1.0 / 3 - 0.02)) * static_cast<double>(height * width);
    const double ratio =
        std::exp(std::log(0.3) + random.Uniform() * (std::log(1 / 0.3) - std::log(0.3)));
    const int64_t h = std::llround(std::sqrt(area * ratio));
    const int64_t w = std::llround(std::sqrt(area / ratio));
    if (h < 1 || w < 1 || h >= height || w >= width) continue;
    const int64_t top = random.Below(static_cast<uint64_t>(height - h + 1));
    return {top, random.Below(static_cast<uint64_t>(width - w + 1)), h, w};
  }
  return {0, 0, 0, 0};
}

// A rectangle with 1 - lambda of the area around a random centre, clipped at the border.
Box CutBox(RandomStream& random, double lambda, int64_t height, int64_t width) {
  const double side = std::sqrt(1 - lambda);
  const int64_t h = static_cast<int64_t>(static_cast<double>(height) * side);
  const int64_t w = static_cast<int64_t>(static_cast<double>(width) * side);
  const int64_t y = random.Below(static_cast<uint64_t>(height));
  const int64_t x = random.Below(static_cast<uint64_t>(width));
  const int64_t top = std::max<int64_t>(0, y - h / 2), bottom = std::min(height, y + h / 2);
  const int64_t left = std::max<int64_t>(0, x - w / 2), right = std::min(width, x + w / 2);
  return {top, left, bottom - top, right - left};
}

}  // namespace

Augmenter::Augmenter(const ImageDataset& images, AugmentOptions options, uint64_t seed)
    : images_(images), options_(std::move(options)), seed_(seed) {
  const AugmentOptions& o = options_;
  const auto fits = [&](const std::vector<double>& list) {
    return list.empty() || static_cast<int64_t>(list.size()) == images.channels();
  };
  if (!fits(o.mean) || !fits(o.deviation) || o.mean.size() != o.deviation.size()) {
    throw UsageError("mean and deviation need one number per channel", "data.mean");
  }
  for (const double d : o.deviation) {
    if (!(d > 0)) throw UsageError("a deviation must be positive", "data.deviation");
  }
  for (const double p : {o.erase, o.switch_to_cutmix, o.label_smoothing}) {
    if (!(p >= 0 && p <= 1)) throw UsageError("a probability must lie in [0, 1]", "data");
  }
  if (!(o.mixup >= 0) || !(o.cutmix >= 0) || o.crop_padding < 0) {
    throw UsageError("mixup, cutmix and crop_padding must not be negative", "data");
  }
}

ImageBatch Augmenter::Empty(size_t rows) const {
  ImageBatch batch{static_cast<int64_t>(rows),
                   images_.channels(),
                   images_.height(),
                   images_.width(),
                   images_.classes(),
                   {},
                   {},
                   {}};
  batch.pixels.resize(rows * images_.Image(0).size());
  batch.targets.resize(rows * static_cast<size_t>(images_.classes()));
  batch.labels.resize(rows);
  return batch;
}

void Augmenter::Normalised(int64_t index, std::span<float> out) const {
  const std::span<const uint8_t> image = images_.Image(index);
  const size_t plane = image.size() / static_cast<size_t>(images_.channels());
  for (size_t i = 0; i < image.size(); ++i) {
    double value = image[i] / 255.0;
    if (!options_.mean.empty()) {
      value = (value - options_.mean[i / plane]) / options_.deviation[i / plane];
    }
    out[i] = static_cast<float>(value);
  }
}

// Crop, flip and erase. What the crop brings in from outside is a black pixel, normalised like the
// others.
void Augmenter::Transformed(const Sample& sample, const char* purpose, std::span<float> out) const {
  RandomStream random(seed_, purpose, static_cast<uint64_t>(sample.index),
                      static_cast<uint64_t>(sample.epoch));
  const int64_t h = images_.height(), w = images_.width();
  const int64_t reach = 2 * options_.crop_padding + 1;
  const int64_t dy = random.Below(static_cast<uint64_t>(reach)) - options_.crop_padding;
  const int64_t dx = random.Below(static_cast<uint64_t>(reach)) - options_.crop_padding;
  const bool flip = options_.flip && random.Chance(0.5);
  std::vector<float> source(out.size());
  Normalised(sample.index, source);
  for (int64_t c = 0; c < images_.channels(); ++c) {
    const float black =
        options_.mean.empty() ? 0 : static_cast<float>(-options_.mean[c] / options_.deviation[c]);
    for (int64_t y = 0; y < h; ++y) {
      for (int64_t x = 0; x < w; ++x) {
        const int64_t sy = y + dy, sx = (flip ? w - 1 - x : x) + dx;
        const bool inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
        out[(c * h + y) * w + x] = inside ? source[(c * h + sy) * w + sx] : black;
      }
    }
  }
  if (options_.erase == 0 || !random.Chance(options_.erase)) return;
  const Box box = EraseBox(random, h, w);
  for (int64_t c = 0; c < images_.channels(); ++c) {
    for (int64_t y = box.top; y < box.top + box.height; ++y) {
      for (int64_t x = box.left; x < box.left + box.width; ++x) {
        out[(c * h + y) * w + x] = static_cast<float>(random.Normal());
      }
    }
  }
}

void Augmenter::AddTarget(int64_t index, double weight, std::span<float> target) const {
  const double smooth = options_.label_smoothing;
  const double off = smooth / static_cast<double>(target.size());
  for (size_t k = 0; k < target.size(); ++k) {
    const bool on = static_cast<int32_t>(k) == images_.Label(index);
    target[k] += static_cast<float>(weight * (on ? 1 - smooth + off : off));
  }
}

void Augmenter::Mix(const Sample& sample, std::span<float> image, std::span<float> target) const {
  if (options_.mixup == 0 && options_.cutmix == 0) return AddTarget(sample.index, 1, target);
  RandomStream random(seed_, "data.mix", static_cast<uint64_t>(sample.index),
                      static_cast<uint64_t>(sample.epoch));
  const bool cut =
      options_.mixup == 0 || (options_.cutmix > 0 && random.Chance(options_.switch_to_cutmix));
  double lambda = Beta(random, cut ? options_.cutmix : options_.mixup);
  Sample partner = sample;
  partner.index = random.Below(static_cast<uint64_t>(images_.size()));
  std::vector<float> other(image.size());
  Transformed(partner, "data.augment.partner", other);
  const int64_t h = images_.height(), w = images_.width();
  if (cut) {
    const Box box = CutBox(random, lambda, h, w);
    for (int64_t c = 0; c < images_.channels(); ++c) {
      for (int64_t y = box.top; y < box.top + box.height; ++y) {
        const int64_t row = (c * h + y) * w + box.left;
        std::copy_n(other.begin() + row, box.width, image.begin() + row);
      }
    }
    lambda = 1 - static_cast<double>(box.height * box.width) / static_cast<double>(h * w);
  } else {
    for (size_t i = 0; i < image.size(); ++i) {
      image[i] = static_cast<float>(lambda * image[i] + (1 - lambda) * other[i]);
    }
  }
  AddTarget(sample.index, lambda, target);
  AddTarget(partner.index, 1 - lambda, target);
}

ImageBatch Augmenter::Train(std::span<const Sample> samples, ThreadPool& pool) const {
  ImageBatch batch = Empty(samples.size());
  const size_t size = images_.Image(0).size(), classes = static_cast<size_t>(images_.classes());
  pool.ForEach(batch.rows, [&](int64_t i) {
    const std::span<float> image = std::span(batch.pixels).subspan(i * size, size);
    Transformed(samples[i], "data.augment", image);
    Mix(samples[i], image, std::span(batch.targets).subspan(i * classes, classes));
    batch.labels[i] = images_.Label(samples[i].index);
  });
  return batch;
}

ImageBatch Augmenter::Evaluate(std::span<const int64_t> indices) const {
  ImageBatch batch = Empty(indices.size());
  const size_t size = images_.Image(0).size(), classes = static_cast<size_t>(images_.classes());
  for (size_t i = 0; i < indices.size(); ++i) {
    Normalised(indices[i], std::span(batch.pixels).subspan(i * size, size));
    batch.labels[i] = images_.Label(indices[i]);
    batch.targets[i * classes + static_cast<size_t>(batch.labels[i])] = 1;
  }
  return batch;
}

}  // namespace orchard::data
