#include "data/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"

namespace orchard::data {
namespace {

// Image i is i * 10 everywhere but for its first pixel, 255.
ImageDataset Flat(int32_t count, int64_t side = 8) {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int32_t i = 0; i < count; ++i) {
    const size_t at = pixels.size();
    pixels.resize(at + static_cast<size_t>(side * side), static_cast<uint8_t>(i * 10));
    pixels[at] = 255;
    labels.push_back(i);
  }
  return ImageDataset(1, side, side, std::move(pixels), std::move(labels));
}

std::vector<Sample> Samples(int64_t count, int64_t images) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back({i, i / images, i % images});
  return samples;
}

TEST(Augmenter, DoesNothingByDefault) {
  const ImageDataset images = Flat(4);
  ThreadPool pool(2);
  const Augmenter augmenter(images, {}, 1);
  const ImageBatch train = augmenter.Train(Samples(4, 4), pool);
  const ImageBatch evaluate = augmenter.Evaluate(std::vector<int64_t>{0, 1, 2, 3});
  EXPECT_EQ(train.pixels, evaluate.pixels);
  EXPECT_EQ(train.targets, evaluate.targets);
  EXPECT_FLOAT_EQ(train.pixels[0], 1.0f);
}

TEST(Augmenter, NormalisesToMeanZeroAndDeviationOne) {
  const ImageDataset images = Flat(20);
  const ChannelStatistics statistics = MeasureChannels(images);
  AugmentOptions options;
  options.mean = statistics.mean;
  options.deviation = statistics.deviation;
  std::vector<int64_t> all(20);
  std::iota(all.begin(), all.end(), 0);
  const ImageBatch batch = Augmenter(images, options, 1).Evaluate(all);
  double sum = 0, squares = 0;
  for (const float p : batch.pixels) {
    sum += p;
    squares += static_cast<double>(p) * p;
  }
  const double n = static_cast<double>(batch.pixels.size());
  EXPECT_NEAR(sum / n, 0, 1e-6);
  EXPECT_NEAR(squares / n, 1, 1e-6);
}

TEST(Augmenter, FlipsHalfOfTheImages) {
  const ImageDataset images = Flat(1);
  ThreadPool pool(1);
  AugmentOptions options;
  options.flip = true;
  const ImageBatch batch = Augmenter(images, options, 1).Train(Samples(4000, 1), pool);
  int flipped = 0;
  for (int64_t i = 0; i < 4000; ++i) {
    const float left = batch.pixels[i * 64], right = batch.pixels[i * 64 + 7];
    ASSERT_NE(left == 1, right == 1);
    flipped += right == 1;
  }
  EXPECT_NEAR(flipped, 2000, 5 * std::sqrt(1000.0));
}

TEST(Augmenter, CropsToEveryOffsetOfThePadding) {
  const ImageDataset images = Flat(1);
  ThreadPool pool(1);
  AugmentOptions options;
  options.crop_padding = 1;
  const ImageBatch batch = Augmenter(images, options, 1).Train(Samples(900, 1), pool);
  // The bright corner pixel moves to (0, 0), (0, 1), (1, 0) or (1, 1), or out of the picture (5 of
  // 9 offsets).
  std::vector<int> counts(64);
  for (int64_t i = 0; i < 900; ++i) {
    for (int p = 0; p < 64; ++p) counts[p] += batch.pixels[i * 64 + p] == 1;
  }
  for (int p = 0; p < 64; ++p) {
    const bool reachable = p == 0 || p == 1 || p == 8 || p == 9;
    EXPECT_NEAR(counts[p], reachable ? 100 : 0, reachable ? 5 * std::sqrt(100.0) : 0) << p;
  }
}

TEST(Augmenter, MixedTargetsAreTheSharesOfThePixels) {
  const ImageDataset images = Flat(20);
  ThreadPool pool(2);
  for (const bool cut : {false, true}) {
    AugmentOptions options;
    (cut ? options.cutmix : options.mixup) = 1;
    const ImageBatch batch = Augmenter(images, options, 1).Train(Samples(200, 20), pool);
    for (int64_t i = 0; i < 200; ++i) {
      const float* target = batch.targets.data() + i * 20;
      EXPECT_NEAR(std::accumulate(target, target + 20, 0.0), 1, 1e-6);
      double expected = 0,
             actual = 0;  // mean grey without the bright corner, which is in both images
      for (int k = 0; k < 20; ++k) expected += target[k] * k * 10 / 255.0 * 63;
      for (int p = 1; p < 64; ++p) actual += batch.pixels[i * 64 + p];
      // A cut box may cover the corner, which counts in the share but is left out of the sum: one
      // pixel of the larger grey.
      EXPECT_NEAR(actual, expected, cut ? 190 / 255.0 : 1e-4);
    }
  }
}

TEST(Augmenter, ErasesARectangleWithTheGivenProbability) {
  const ImageDataset images = Flat(1, 16);
  ThreadPool pool(1);
  AugmentOptions options;
  options.erase = 0.25;
  const ImageBatch batch = Augmenter(images, options, 1).Train(Samples(2000, 1), pool);
  int erased = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    int changed = 0;
    for (int p = 1; p < 256; ++p) changed += batch.pixels[i * 256 + p] != 0;
    erased += changed > 0;
    EXPECT_LE(changed, 256 * 0.4);
  }
  EXPECT_NEAR(erased, 500, 5 * std::sqrt(2000 * 0.25 * 0.75));
}

TEST(Augmenter, IsIndependentOfThreadsAndBatchSplit) {
  const ImageDataset images = Flat(10);
  AugmentOptions options;
  options.crop_padding = 2;
  options.flip = true;
  options.mixup = 0.8;
  options.cutmix = 1;
  options.erase = 0.25;
  options.label_smoothing = 0.1;
  const Augmenter augmenter(images, options, 9);
  ThreadPool one(1), three(3);
  const std::vector<Sample> samples = Samples(30, 10);
  const ImageBatch whole = augmenter.Train(samples, one);
  EXPECT_EQ(augmenter.Train(samples, three).pixels, whole.pixels);
  const ImageBatch tail = augmenter.Train(std::span(samples).subspan(20), three);
  EXPECT_TRUE(std::equal(tail.pixels.begin(), tail.pixels.end(), whole.pixels.begin() + 20 * 64));
  EXPECT_TRUE(std::equal(tail.targets.begin(), tail.targets.end(), whole.targets.begin() + 200));
}

TEST(ImageDataset, RefusesCountsAndLabelsThatDoNotFit) {
  EXPECT_THROW(ImageDataset(1, 2, 2, std::vector<uint8_t>(7), {0, 1}), DataError);
  EXPECT_THROW(ImageDataset(1, 2, 2, std::vector<uint8_t>(8), {0, -1}), DataError);
  EXPECT_THROW(ImageDataset(1, 2, 2, std::vector<uint8_t>(8), {0, 3}, 3), DataError);
  EXPECT_THROW(ImageDataset(1, 2, 2, {}, {}), DataError);
}

}  // namespace
}  // namespace orchard::data
