// The sizes of a residual network: ResNet-18/34/50/101/152, the wide ones, and any other widths and
// depths of the same plan (torchvision's v1.5: a bottleneck strides in its 3x3 convolution).
// Source: He et al. 2015; Zagoruyko and Komodakis 2016.
#pragma once

#include <array>
#include <cstdint>

namespace orchard::arch {

inline constexpr int kResNetStages = 4;

struct ResNetShape {
  bool bottleneck = false;                         // three convolutions per block instead of two
  std::array<int64_t, kResNetStages> blocks = {};  // per stage
  int64_t stem = 64;   // channels after the first convolution; stage s has stem x 2^s (x 4 for
                       // bottlenecks)
  int64_t inner = 64;  // channels between the convolutions of stage 0's blocks, x 2^s in stage s:
                       // 128 for the wide networks
  int64_t classes = 1000;
  int64_t image_channels = 3;

  int64_t Channels(int stage) const { return (stem << stage) * (bottleneck ? 4 : 1); }
  int64_t Inner(int stage) const { return inner << stage; }
  // What a stage's first block reads.
  int64_t Entering(int stage) const { return stage == 0 ? stem : Channels(stage - 1); }
  // Blocks that change the size of what they pass on have a convolution beside them.
  bool HasDownsample(int stage, int64_t block) const {
    return block == 0 && (stage > 0 || Entering(stage) != Channels(stage));
  }
  int64_t Depth() const { return blocks[0] + blocks[1] + blocks[2] + blocks[3]; }
  bool operator==(const ResNetShape&) const = default;
};

}  // namespace orchard::arch
