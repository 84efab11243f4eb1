// Augmentation of small images on the CPU: the parts of the DeiT recipe (Touvron et al., 2021) that
// keep the image size. Every draw is keyed by (seed, epoch, sample), so that a batch is the same
// however it is split over ranks and threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "data/image_dataset.h"
#include "data/sampler.h"

namespace orchard::data {

struct AugmentOptions {
  int64_t crop_padding = 0;       // zero pixels around the image before a random crop of its size
  bool flip = false;              // left and right, every second image
  double erase = 0;               // probability of a random rectangle of noise (Zhong et al., 2020)
  double mixup = 0;               // alpha of Beta(alpha, alpha); 0: off (Zhang et al., 2018)
  double cutmix = 0;              // likewise (Yun et al., 2019)
  double switch_to_cutmix = 0.5;  // where both are on
  double label_smoothing = 0;     // of the targets
  std::vector<double> mean, deviation;  // per channel, of pixels in [0, 1]; empty: not normalised
};

// Pixels [rows, C, H, W] and targets [rows, classes] (probabilities); `labels` are those of the
// first image of a mixture.
struct ImageBatch {
  int64_t rows = 0, channels = 0, height = 0, width = 0;
  int32_t classes = 0;
  std::vector<float> pixels;
  std::vector<float> targets;
  std::vector<int64_t> labels;
};

class Augmenter {
 public:
  // Throws UsageError for values out of range. `images` must outlive the augmenter.
  Augmenter(const ImageDataset& images, AugmentOptions options, uint64_t seed);

  // Augmented images for training. A mixture's second image is drawn from the whole data set.
  ImageBatch Train(std::span<const Sample> samples, ThreadPool& pool) const;
  // Normalised images and one-hot targets for evaluation.
  ImageBatch Evaluate(std::span<const int64_t> indices) const;

 private:
  ImageBatch Empty(size_t rows) const;
  void Normalised(int64_t index, std::span<float> out) const;
  void Transformed(const Sample& sample, const char* purpose, std::span<float> out) const;
  void Mix(const Sample& sample, std::span<float> image, std::span<float> target) const;
  void AddTarget(int64_t index, double weight, std::span<float> target) const;

  const ImageDataset& images_;
  AugmentOptions options_;
  uint64_t seed_;
};

}  // namespace orchard::data
