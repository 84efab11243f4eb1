// Small residual networks with random weights and statistics.
#pragma once

#include <filesystem>

#include "arch/resnet.h"
#include "io/dtype.h"

namespace orchard::expand {

// A directory with config.json and every tensor: gains away from 1, biases and means away from 0,
// variances above 0.
void WriteTinyResNet(const std::filesystem::path& directory, const arch::ResNetShape& shape,
                     io::DType dtype);

// 4 channels after the stem, 2 + 2 + 1 + 2 blocks, inner width 4.
arch::ResNetShape TinyResNet(bool bottleneck);

}  // namespace orchard::expand
