// Residual networks under torchvision's tensor names (timm's are the same). Their table is
// computed: which axes a tensor has depends on the kind of block and on where it stands.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"
#include "arch/resnet_shape.h"
#include "io/safetensors.h"

namespace orchard::arch {

inline constexpr std::string_view kResNet = "resnet";  // model_type

// "layer3.7.": what the names of a block's tensors begin with. Stages count from 0 here.
std::string ResNetBlockPrefix(int stage, int64_t block);

// A place among all blocks of a network, in the order of computation.
struct ResNetBlock {
  int stage = 0;
  int64_t block = 0;
};
ResNetBlock ResNetBlockAt(const ResNetShape& shape, int64_t index);

struct ResNetTensor {
  std::string name;
  Kind kind = Kind::kCopy;
  // S: channels of the stem; C1..C4: of a stage; I1..I4: between the convolutions of its blocks; N
  // classes, c channels of images and k kernels never grow.
  std::vector<std::string> axes;
  std::vector<int64_t> shape;  // [] for the counter of batches
  int64_t block = -1;          // in the order of computation; -1: stem and classifier
};

// Every tensor of a network, in torchvision's order.
std::vector<ResNetTensor> ResNetTensors(const ResNetShape& shape);
// Places [height x width] at which a matrix is applied to a square picture of `side` pixels.
int64_t ResNetPositions(const ResNetShape& shape, const ResNetTensor& tensor, int64_t side);
// The extent of one of the axes above; `stored` for those that never grow.
int64_t ResNetExtent(const ResNetShape& shape, const std::string& axis, int64_t stored);
// The same as a table of literal names, for everything that works with tables.
Architecture ResNetArchitecture(const ResNetShape& shape);

bool LooksLikeResNet(const io::Checkpoint& weights);
// Sizes from the shapes of the tensors. Throws DataError (missing or misshapen tensor) and
// ImpossibleError (grouped convolutions, transformers' names).
ResNetShape ReadResNetShape(const io::Checkpoint& weights, const std::string& where);

// A ResNet's config.json: transformers' keys for what they can say, and torchvision's
// `width_per_group` (docs/formats.md, "Residual networks"). Keys that say nothing of sizes stay.
Json ResNetConfigJson(const ResNetShape& shape, Json config);
// Sizes from such a configuration alone, for networks without weights. Throws DataError.
ResNetShape ParseResNetConfig(const Json& config, const std::string& where);
// Throws DataError when a size of the configuration is not that of the weights.
void CheckResNetConfig(const ResNetShape& shape, const Json& config, const std::string& where);

// By torchvision's name: resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2,
// wide_resnet101_2. Throws UsageError for other names.
ResNetShape FindResNet(std::string_view name);
// torchvision's name of a network of these sizes; empty where it has none.
std::string ResNetName(const ResNetShape& shape);

}  // namespace orchard::arch
