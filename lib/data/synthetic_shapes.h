// Rendered shapes: a small image classification task without a download, for experiments that
// anyone can repeat.
#pragma once

#include <cstdint>
#include <string_view>

#include "data/image_dataset.h"

namespace orchard::data {

struct ShapeOptions {
  int64_t count = 10000;
  int64_t size = 16;    // pixels of a side
  double noise = 0.15;  // standard deviation of the pixel noise, of a range of 1
  uint64_t first = 0;   // number of the first image: other ranges are other images (training, test)
};

// Grey images [count, 1, size, size] of ten classes, image i of class i mod 10, with random place,
// size, rotation, brightness and noise. Image i depends on (seed, first + i) alone.
ImageDataset SyntheticShapes(const ShapeOptions& options, uint64_t seed);

// "disc", "ring", ...
std::string_view ShapeName(int32_t label);

}  // namespace orchard::data
