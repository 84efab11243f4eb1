#include "data/image_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace orchard::data {

ImageDataset::ImageDataset(int64_t channels, int64_t height, int64_t width,
                           std::vector<uint8_t> pixels, std::vector<int32_t> labels,
                           int32_t classes, const std::string& where)
    : channels_(channels),
      height_(height),
      width_(width),
      classes_(classes),
      pixels_(std::move(pixels)),
      labels_(std::move(labels)) {
  constexpr int64_t kMaxSide = 1 << 16;
  for (const int64_t side : {channels, height, width}) {
    if (side < 1 || side > kMaxSide)
      throw DataError("an image side lies outside [1, 65536]", where);
  }
  if (labels_.empty()) throw DataError("there are no images", where);
  if (static_cast<uint64_t>(channels * height * width) * labels_.size() != pixels_.size()) {
    throw DataError("the number of pixels does not fit the number of labels", where);
  }
  const int32_t end = classes_ > 0 ? classes_ : INT32_MAX;
  for (size_t i = 0; i < labels_.size(); ++i) {
    if (labels_[i] >= 0 && labels_[i] < end) continue;
    throw DataError(
        fmt::format("label {} lies outside the {}", labels_[i],
                    classes_ > 0 ? std::to_string(classes_) + " classes" : "whole numbers from 0"),
        fmt::format("{}{}record {}", where, where.empty() ? "" : ": ", i));
  }
  if (classes_ == 0) classes_ = *std::max_element(labels_.begin(), labels_.end()) + 1;
}

std::span<const uint8_t> ImageDataset::Image(int64_t index) const {
  const size_t size = static_cast<size_t>(channels_ * height_ * width_);
  return std::span(pixels_).subspan(static_cast<size_t>(index) * size, size);
}

ChannelStatistics MeasureChannels(const ImageDataset& images) {
  ChannelStatistics result;
  const int64_t plane = images.height() * images.width();
  for (int64_t c = 0; c < images.channels(); ++c) {
    std::array<int64_t, 256> histogram{};
    for (int64_t i = 0; i < images.size(); ++i) {
      for (const uint8_t p :
           images.Image(i).subspan(static_cast<size_t>(c * plane), static_cast<size_t>(plane))) {
        ++histogram[p];
      }
    }
    const double n = static_cast<double>(images.size() * plane);
    double sum = 0, squares = 0;
    for (int v = 0; v < 256; ++v) sum += static_cast<double>(histogram[v]) * v;
    const double mean = sum / n;
    for (int v = 0; v < 256; ++v) {
      squares += static_cast<double>(histogram[v]) * (v - mean) * (v - mean);
    }
    result.mean.push_back(mean / 255);
    result.deviation.push_back(std::sqrt(squares / n) / 255);
  }
  return result;
}

}  // namespace orchard::data
