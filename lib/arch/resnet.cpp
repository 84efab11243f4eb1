#include "arch/resnet.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"

namespace orchard::arch {
namespace {

constexpr double kNormEpsilon = 1e-5;
constexpr const char* kSizeKeys[] = {"layer_type",   "num_channels", "embedding_size",
                                     "hidden_sizes", "depths",       "width_per_group"};

std::string Stage(const char* letter, int stage) { return letter + std::to_string(stage + 1); }

class Tensors {
 public:
  explicit Tensors(const ResNetShape& shape) : shape_(shape) {
    Conv("conv1", "S", "c", shape.image_channels, 7);
    Norm("bn1", "S");
    block_ = 0;
    for (int stage = 0; stage < kResNetStages; ++stage) {
      for (int64_t b = 0; b < shape.blocks[stage]; ++b, ++block_) Block(stage, b);
    }
    block_ = -1;
    const int64_t features = shape.Channels(kResNetStages - 1);
    all_.push_back({"fc.weight", Kind::kLinear, {"N", "C4"}, {shape.classes, features}});
    all_.push_back({"fc.bias", Kind::kCopy, {"N"}, {shape.classes}});
  }
  std::vector<ResNetTensor> Take() { return std::move(all_); }

 private:
  void Block(int stage, int64_t b) {
    const std::string at = ResNetBlockPrefix(stage, b);
    const std::string out = Stage("C", stage), inner = Stage("I", stage);
    const std::string in = b > 0 ? out : stage > 0 ? Stage("C", stage - 1) : "S";
    const auto conv = [&](const char* number, const std::string& to, const std::string& from,
                          int64_t kernel) {
      Conv(at + "conv" + number, to, from, ResNetExtent(shape_, from, 0), kernel);
      Norm(at + "bn" + number, to);
    };
    conv("1", inner, in, shape_.bottleneck ? 1 : 3);
    conv("2", shape_.bottleneck ? inner : out, inner, 3);
    if (shape_.bottleneck) conv("3", out, inner, 1);
    if (!shape_.HasDownsample(stage, b)) return;
    Conv(at + "downsample.0", out, in, ResNetExtent(shape_, in, 0), 1);
    Norm(at + "downsample.1", out);
  }
  void Conv(const std::string& name, const std::string& out, const std::string& in, int64_t from,
            int64_t kernel) {
    all_.push_back({name + ".weight",
                    Kind::kConv,
                    {out, in, "k", "k"},
                    {ResNetExtent(shape_, out, 0), from, kernel, kernel},
                    block_});
  }
  void Norm(const std::string& name, const std::string& axis) {
    const std::pair<const char*, Kind> parts[] = {{".weight", Kind::kNormWeight},
                                                  {".bias", Kind::kNormBias},
                                                  {".running_mean", Kind::kStatistic},
                                                  {".running_var", Kind::kStatistic}};
    for (const auto& [part, kind] : parts) {
      all_.push_back({name + part, kind, {axis}, {ResNetExtent(shape_, axis, 0)}, block_});
    }
    all_.push_back({name + ".num_batches_tracked", Kind::kCopy, {}, {}, block_});
  }

  const ResNetShape& shape_;
  int64_t block_ = -1;
  std::vector<ResNetTensor> all_;
};

const std::pair<std::string_view, ResNetShape> kKnown[] = {
    {"resnet18", {.bottleneck = false, .blocks = {2, 2, 2, 2}}},
    {"resnet34", {.bottleneck = false, .blocks = {3, 4, 6, 3}}},
    {"resnet50", {.bottleneck = true, .blocks = {3, 4, 6, 3}}},
    {"resnet101", {.bottleneck = true, .blocks = {3, 4, 23, 3}}},
    {"resnet152", {.bottleneck = true, .blocks = {3, 8, 36, 3}}},
    {"wide_resnet50_2", {.bottleneck = true, .blocks = {3, 4, 6, 3}, .inner = 128}},
    {"wide_resnet101_2", {.bottleneck = true, .blocks = {3, 4, 23, 3}, .inner = 128}},
};

const io::TensorInfo& Kernel(const io::Checkpoint& weights, const std::string& name,
                             const std::string& where) {
  const io::TensorInfo* info = weights.Find(name);
  if (!info) throw DataError("tensor is missing: " + name, where);
  const bool fine = info->shape.size() == 4 && info->elements() > 0;
  if (!fine) throw DataError("not the kernel of a convolution", weights.Where(*info));
  return *info;
}

int64_t PositiveSize(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 1e6) {
    throw DataError("'" + key + "' is not a positive whole number", where);
  }
  return value.get<int64_t>();
}

}  // namespace

std::string ResNetBlockPrefix(int stage, int64_t block) {
  return "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
}

ResNetBlock ResNetBlockAt(const ResNetShape& shape, int64_t index) {
  int stage = 0;
  while (stage + 1 < kResNetStages && index >= shape.blocks[stage]) index -= shape.blocks[stage++];
  return {stage, index};
}

std::vector<ResNetTensor> ResNetTensors(const ResNetShape& shape) { return Tensors(shape).Take(); }

int64_t ResNetPositions(const ResNetShape& shape, const ResNetTensor& tensor, int64_t side) {
  if (tensor.kind == Kind::kLinear) return 1;
  const auto half = [](int64_t n) { return (n + 1) / 2; };
  int64_t n = half(side);  // after the stem's convolution
  if (tensor.block < 0) return n * n;
  n = half(n);  // after pooling
  const auto [stage, block] = ResNetBlockAt(shape, tensor.block);
  for (int s = 1; s < stage; ++s) n = half(n);
  // A stage's first block strides: a bottleneck in its second convolution.
  const bool before =
      block == 0 && shape.bottleneck && tensor.name.find(".conv1.") != std::string::npos;
  if (stage > 0 && !before) n = half(n);
  return n * n;
}

int64_t ResNetExtent(const ResNetShape& shape, const std::string& axis, int64_t stored) {
  if (axis == "S") return shape.stem;
  if (axis.size() != 2) return stored;
  const int stage = axis[1] - '1';
  return axis[0] == 'C' ? shape.Channels(stage) : axis[0] == 'I' ? shape.Inner(stage) : stored;
}

Architecture ResNetArchitecture(const ResNetShape& shape) {
  Architecture a;
  a.model_type = kResNet;
  a.summary = shape.bottleneck ? "residual network of bottlenecks, batch norms"
                               : "residual network of basic blocks, batch norms";
  a.norm = Norm::kBatch;
  a.image = true;
  a.fixed_epsilon = kNormEpsilon;
  a.sizes_from_tensors = true;
  for (ResNetTensor& tensor : ResNetTensors(shape)) {
    const bool counter = tensor.shape.empty();
    a.rules.push_back({tensor.name, tensor.kind, std::move(tensor.axes), tensor.name, counter});
  }
  return a;
}

bool LooksLikeResNet(const io::Checkpoint& weights) {
  return weights.Find("conv1.weight") && weights.Find("bn1.running_mean") &&
         weights.Find("layer1.0.conv1.weight") && weights.Find("fc.weight");
}

ResNetShape ReadResNetShape(const io::Checkpoint& weights, const std::string& where) {
  if (weights.Find("resnet.embedder.embedder.convolution.weight")) {
    throw ImpossibleError("the ResNet has transformers' tensor names", where,
                          "torchvision's and timm's names are read");
  }
  ResNetShape shape;
  const io::TensorInfo& stem = Kernel(weights, "conv1.weight", where);
  shape.stem = stem.shape[0];
  shape.image_channels = stem.shape[1];
  const io::TensorInfo* classifier = weights.Find("fc.weight");
  if (!classifier) throw DataError("tensor is missing: fc.weight", where);
  if (classifier->shape.size() != 2) throw DataError("not a matrix", weights.Where(*classifier));
  shape.classes = classifier->shape[0];
  shape.bottleneck = weights.Find("layer1.0.conv3.weight") != nullptr;
  shape.inner = Kernel(weights, "layer1.0.conv1.weight", where).shape[0];
  const io::TensorInfo& second = Kernel(weights, "layer1.0.conv2.weight", where);
  if (second.shape[1] != shape.inner) {
    throw ImpossibleError("grouped convolutions (ResNeXt) are not supported",
                          weights.Where(second));
  }
  for (int stage = 0; stage < kResNetStages; ++stage) {
    const auto has = [&](int64_t b) {
      return weights.Find(ResNetBlockPrefix(stage, b) + "conv1.weight") != nullptr;
    };
    while (has(shape.blocks[stage])) ++shape.blocks[stage];
    if (shape.blocks[stage] == 0)
      Kernel(weights, ResNetBlockPrefix(stage, 0) + "conv1.weight", where);
  }
  return shape;
}

Json ResNetConfigJson(const ResNetShape& shape, Json config) {
  config["model_type"] = kResNet;
  config["layer_type"] = shape.bottleneck ? "bottleneck" : "basic";
  config["num_channels"] = shape.image_channels;
  config["embedding_size"] = shape.stem;
  config["hidden_sizes"] = Json::array();
  for (int stage = 0; stage < kResNetStages; ++stage) {
    config["hidden_sizes"].push_back(shape.Channels(stage));
  }
  config["depths"] = shape.blocks;
  config["width_per_group"] = shape.inner;
  // timm's and torchvision's name goes where the sizes have none.
  for (const char* key : {"architecture", "arch"}) {
    if (!config.contains(key)) continue;
    if (const std::string name = ResNetName(shape); !name.empty()) {
      config[key] = name;
    } else {
      config.erase(key);
    }
  }
  return config;
}

ResNetShape ParseResNetConfig(const Json& config, const std::string& where) {
  const auto value = [&](const char* key) -> Json {
    const auto it = config.find(key);
    return it == config.end() ? Json() : *it;
  };
  const auto size = [&](const char* key) { return PositiveSize(value(key), key, where); };
  ResNetShape shape;
  const Json type = value("layer_type");
  if (type != "bottleneck" && type != "basic") {
    throw DataError("'layer_type' is neither bottleneck nor basic", where);
  }
  shape.bottleneck = type == "bottleneck";
  shape.stem = size("embedding_size");
  shape.inner = value("width_per_group").is_null() ? shape.stem : size("width_per_group");
  if (!value("num_channels").is_null()) shape.image_channels = size("num_channels");
  const Json depths = value("depths");
  if (!depths.is_array() || depths.size() != kResNetStages) {
    throw DataError("'depths' is not a list of four numbers of blocks", where);
  }
  for (int stage = 0; stage < kResNetStages; ++stage) {
    shape.blocks[stage] = PositiveSize(depths[stage], "depths", where);
  }
  if (value("id2label").is_object()) {
    shape.classes = static_cast<int64_t>(config["id2label"].size());
  } else if (!value("num_classes").is_null()) {
    shape.classes = size("num_classes");
  }
  const Json sizes = value("hidden_sizes");
  if (!sizes.is_null() && sizes != ResNetConfigJson(shape, Json::object())["hidden_sizes"]) {
    throw DataError("'hidden_sizes' does not double from stage to stage, starting at " +
                        std::to_string(shape.Channels(0)),
                    where);
  }
  return shape;
}

void CheckResNetConfig(const ResNetShape& shape, const Json& config, const std::string& where) {
  const Json expected = ResNetConfigJson(shape, Json::object());
  for (const char* key : kSizeKeys) {
    const auto it = config.find(key);
    if (it == config.end() || it->is_null() || *it == expected[key]) continue;
    throw DataError("'" + std::string(key) + "' is " + it->dump() + " where the weights give " +
                        expected[key].dump(),
                    where);
  }
}

ResNetShape FindResNet(std::string_view name) {
  std::string names;
  for (const auto& [known, shape] : kKnown) {
    if (known == name) return shape;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw UsageError("unknown network " + std::string(name), "", "known: " + names);
}

std::string ResNetName(const ResNetShape& shape) {
  ResNetShape standard = shape;
  standard.classes = ResNetShape().classes;
  standard.image_channels = ResNetShape().image_channels;
  const auto* found = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const auto& known) { return known.second == standard; });
  return found == std::end(kKnown) ? "" : std::string(found->first);
}

}  // namespace orchard::arch
