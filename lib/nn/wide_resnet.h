// Wide residual networks for small images (Zagoruyko and Komodakis, 2016), as CSER's experiments
// have them: pre-activation, and a stem of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "nn/image_network.h"

namespace orchard::nn {

// Depth 6 n + 4: three stages of n basic blocks, 16 K, 32 K and 64 K channels wide. With
// `options.stem_norms` the images pass a norm without gain and bias first, and another one follows
// the first convolution (the first block's own comes after it): what CSER's released model has, and
// the published network has not. WRN-40-8 for 100 classes has 35,794,516 trained elements with
// them.
std::unique_ptr<ImageNetwork> MakeWideResNet(int64_t depth, int64_t width,
                                             const ImageNetworkOptions& options);

}  // namespace orchard::nn
