#include "arch/resnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "unit/scratch_dir.h"

namespace orchard::arch {
namespace {

using orchard::testing::ScratchDir;
using ::testing::HasSubstr;

ResNetShape Small(bool bottleneck) {
  return {.bottleneck = bottleneck,
          .blocks = {2, 1, 3, 1},
          .stem = 4,
          .inner = 6,
          .classes = 5,
          .image_channels = 1};
}

// A file of zeros with these tensors.
io::Checkpoint Write(const std::filesystem::path& path, const std::vector<ResNetTensor>& tensors) {
  std::vector<io::TensorInfo> infos;
  for (const ResNetTensor& t : tensors) {
    infos.push_back({t.name, t.shape.empty() ? io::DType::kI64 : io::DType::kF32, t.shape});
  }
  io::SafetensorsWriter writer(path, io::SafetensorsLayout(std::move(infos)));
  for (const io::TensorInfo& info : writer.layout().tensors()) {
    writer.Write(info, 0, std::vector<std::byte>(info.end - info.begin));
  }
  writer.Finish();
  return io::Checkpoint::Open(path);
}

// Two floating-point operations per multiply-add, over 224 x 224.
double GigaMultiplyAdds(const char* name) {
  const ResNetShape shape = FindResNet(name);
  double sum = 0;
  for (const ResNetTensor& t : ResNetTensors(shape)) {
    if (t.shape.size() < 2) continue;
    double products = 1;
    for (int64_t extent : t.shape) products *= static_cast<double>(extent);
    sum += products * static_cast<double>(ResNetPositions(shape, t, 224));
  }
  return sum / 1e9;
}

TEST(ResNet, CostsWhatTorchvisionPublishes) {
  EXPECT_NEAR(GigaMultiplyAdds("resnet18"), 1.814, 1e-3);
  EXPECT_NEAR(GigaMultiplyAdds("resnet34"), 3.664, 1e-3);
  EXPECT_NEAR(GigaMultiplyAdds("resnet50"), 4.089, 1e-3);
  EXPECT_NEAR(GigaMultiplyAdds("resnet101"), 7.801, 1e-3);
  EXPECT_NEAR(GigaMultiplyAdds("wide_resnet101_2"), 22.753, 1e-3);
}

TEST(ResNet, SizesAreReadOffTheTensors) {
  const ScratchDir scratch;
  for (const bool bottleneck : {false, true}) {
    const ResNetShape shape = Small(bottleneck);
    const auto weights = Write(scratch / "m.safetensors", ResNetTensors(shape));
    EXPECT_TRUE(LooksLikeResNet(weights));
    EXPECT_EQ(ReadResNetShape(weights, "m"), shape);
  }
}

TEST(ResNet, EveryTensorHasTheExtentsOfItsAxes) {
  for (const bool bottleneck : {false, true}) {
    const ResNetShape shape = Small(bottleneck);
    for (const ResNetTensor& t : ResNetTensors(shape)) {
      ASSERT_EQ(t.axes.size(), t.shape.size()) << t.name;
      for (size_t i = 0; i < t.axes.size(); ++i) {
        EXPECT_EQ(ResNetExtent(shape, t.axes[i], t.shape[i]), t.shape[i]) << t.name;
      }
    }
  }
}

TEST(ResNet, GroupedConvolutionsAreRefused) {
  const ScratchDir scratch;
  std::vector<ResNetTensor> tensors = ResNetTensors(Small(true));
  for (ResNetTensor& t : tensors) {
    if (t.name.ends_with("conv2.weight")) t.shape[1] /= 2;
  }
  const auto weights = Write(scratch / "m.safetensors", tensors);
  EXPECT_THROW(ReadResNetShape(weights, "m"), ImpossibleError);
}

TEST(ResNet, NamesTheTensorThatAStageLacks) {
  const ScratchDir scratch;
  std::vector<ResNetTensor> tensors = ResNetTensors(Small(true));
  std::erase_if(tensors, [](const ResNetTensor& t) { return t.name.starts_with("layer3."); });
  const auto weights = Write(scratch / "m.safetensors", tensors);
  try {
    ReadResNetShape(weights, "m");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("layer3.0.conv1.weight"));
  }
}

TEST(ResNetConfig, SaysAllSizesAndKeepsTheRest) {
  for (const char* name : {"resnet34", "wide_resnet101_2"}) {
    const ResNetShape shape = FindResNet(name);
    const Json config =
        ResNetConfigJson(shape, {{"image_size", 224}, {"architecture", "resnet50"}});
    EXPECT_EQ(ParseResNetConfig(config, "config.json"), shape);
    EXPECT_EQ(config["image_size"], 224);
    EXPECT_EQ(config["architecture"], name);
    CheckResNetConfig(shape, config, "config.json");
  }
}

TEST(ResNetConfig, ANameThatNoLongerFitsGoes) {
  ResNetShape shape = FindResNet("resnet50");
  shape.inner = 96;
  EXPECT_FALSE(ResNetConfigJson(shape, {{"architecture", "resnet50"}}).contains("architecture"));
}

TEST(ResNetConfig, ContradictingTheWeightsIsAnError) {
  const ResNetShape shape = FindResNet("resnet50");
  Json config = ResNetConfigJson(shape, Json::object());
  config["depths"] = {3, 4, 23, 3};
  try {
    CheckResNetConfig(shape, config, "config.json");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("depths"));
  }
}

TEST(ResNetConfig, WithoutUsableSizesIsAnError) {
  const Json good = ResNetConfigJson(Small(true), Json::object());
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, Json>>{{"layer_type", "dense"},
                                                 {"depths", {1, 2, 3}},
                                                 {"depths", {1, 2, 0, 3}},
                                                 {"embedding_size", "64"},
                                                 {"width_per_group", -1},
                                                 {"hidden_sizes", {16, 32, 64, 96}}}) {
    Json config = good;
    config[key] = value;
    EXPECT_THROW(ParseResNetConfig(config, "config.json"), DataError) << config;
  }
}

}  // namespace
}  // namespace orchard::arch
