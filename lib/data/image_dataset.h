// Labelled images of one size, in memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace orchard::data {

// Pixels [N, C, H, W], row-major.
class ImageDataset {
 public:
  // Throws DataError unless the counts agree, there is an image, and every label lies in [0,
  // classes), naming `where` and the record. `classes` 0: one more than the largest label.
  ImageDataset(int64_t channels, int64_t height, int64_t width, std::vector<uint8_t> pixels,
               std::vector<int32_t> labels, int32_t classes = 0, const std::string& where = "");

  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  int64_t channels() const { return channels_; }
  int64_t height() const { return height_; }
  int64_t width() const { return width_; }
  int32_t classes() const { return classes_; }
  std::span<const uint8_t> Image(int64_t index) const;  // [C, H, W]
  int32_t Label(int64_t index) const { return labels_[static_cast<size_t>(index)]; }

 private:
  int64_t channels_, height_, width_;
  int32_t classes_;
  std::vector<uint8_t> pixels_;
  std::vector<int32_t> labels_;
};

// Mean and standard deviation of each channel, of pixels scaled to [0, 1].
struct ChannelStatistics {
  std::vector<double> mean, deviation;
};
ChannelStatistics MeasureChannels(const ImageDataset& images);

}  // namespace orchard::data
