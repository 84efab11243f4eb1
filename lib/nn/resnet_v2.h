// Residual networks with pre-activation for large images (He et al., 2016, "Identity mappings"), as
// CSER's ImageNet experiment has them.
#pragma once

#include <cstdint>
#include <memory>

#include "nn/image_network.h"

namespace orchard::nn {

// Depth 50, 101 or 152: images pass a norm without gain and bias, a 7x7 convolution of stride 2 and
// 3x3 max pooling of stride 2, then bottleneck blocks of 256, 512, 1024 and 2048 channels (norm,
// ReLU, 1x1; norm, ReLU, 3x3; norm, ReLU, 1x1; a stage's first shortcut convolves the activated
// input). Depth 50 for 1000 classes has 25,549,480 trained elements. Throws UsageError for other
// depths, and images of less than 32 pixels a side.
std::unique_ptr<ImageNetwork> MakeResNetV2(int64_t depth, const ImageNetworkOptions& options);

}  // namespace orchard::nn
