#include "tiny_resnet.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tiny_model.h"

namespace orchard::expand {

void WriteTinyResNet(const std::filesystem::path& directory, const arch::ResNetShape& shape,
                     io::DType dtype) {
  std::filesystem::create_directories(directory);
  std::vector<TinyTensor> tensors;
  for (const arch::ResNetTensor& t : arch::ResNetTensors(shape)) {
    if (t.shape.empty()) continue;  // the counters are optional
    int64_t count = 1;
    for (int64_t extent : t.shape) count *= extent;
    std::vector<double> values = TinyValues(t.name, count);
    const bool variance = t.name.ends_with(".running_var");
    for (double& value : values) {
      if (variance) value = 0.5 + std::abs(value);
      if (t.kind == arch::Kind::kNormWeight) value += 1;
    }
    tensors.push_back({t.name, t.shape, values});
  }
  WriteTensors(directory / "model.safetensors", tensors, dtype);
  std::ofstream(directory / "config.json")
      << arch::ResNetConfigJson(shape, arch::Json::object()).dump();
}

arch::ResNetShape TinyResNet(bool bottleneck) {
  return {.bottleneck = bottleneck,
          .blocks = {2, 2, 1, 2},
          .stem = 4,
          .inner = 4,
          .classes = 5,
          .image_channels = 1};
}

}  // namespace orchard::expand
