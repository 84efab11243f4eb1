#include "nn/image_network.h"

#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace orchard::nn {
namespace {

int64_t Elements(std::string_view text, const ImageNetworkOptions& options) {
  return MakeImageNetwork(text, options)->trained_elements();
}

// The numbers of parameters that the papers' models have.
TEST(ImageNetwork, HasThePublishedNumberOfParameters) {
  EXPECT_EQ(Elements("wrn-40-8", {.shape = {3, 32, 32, 100}}), 35'794'516);
  EXPECT_EQ(Elements("wrn-16-1", {.shape = {3, 32, 32, 10}}), 175'098);
  EXPECT_EQ(Elements("wrn-16-2", {.shape = {3, 32, 32, 10}}), 691'706);
  // Without the gain and bias of the stem's norm.
  EXPECT_EQ(Elements("wrn-40-8", {.shape = {3, 32, 32, 100}, .stem_norms = false}),
            35'794'516 - 32);
  EXPECT_EQ(Elements("mlp:784-128-64-10", {}), 109'386);
  EXPECT_EQ(Elements("mlp:784-512-256-10", {}), 535'818);
  EXPECT_EQ(Elements("logreg", {}), 7850);
  EXPECT_EQ(Elements("lenet", {}), 431'080);
  EXPECT_EQ(Elements("resnet50-v2", {.shape = {3, 224, 224, 1000}}), 25'549'480);
}

TEST(ImageNetwork, GivesOneLogitPerImageAndClass) {
  for (const char* text : {"mlp:784-16-10", "logreg", "lenet", "wrn-10-1"}) {
    const auto network = MakeImageNetwork(text, {});
    const at::Tensor images = at::randn({3, 1, 28, 28});
    EXPECT_EQ(network->Forward(images, true).sizes(), (at::IntArrayRef{3, 10})) << text;
    const at::Tensor one = network->Forward(images, false);
    EXPECT_TRUE(one.isfinite().all().item().toBool());
    EXPECT_TRUE(one.equal(network->Forward(images, false)));
  }
}

// A stride of 32 in all: an image of 64 pixels a side ends as 2 x 2.
TEST(ImageNetwork, ResNetV2TakesImagesOfAnySizeAboveItsStride) {
  const auto network = MakeImageNetwork("resnet50-v2", {.shape = {3, 64, 48, 7}});
  const at::Tensor images = at::randn({2, 3, 64, 48});
  EXPECT_EQ(network->Forward(images, true).sizes(), (at::IntArrayRef{2, 7}));
  EXPECT_TRUE(network->Forward(images, false).isfinite().all().item().toBool());
  EXPECT_THROW(MakeImageNetwork("resnet50-v2", {.shape = {3, 16, 64, 7}}), UsageError);
}

TEST(ImageNetwork, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"vgg", "mlp:", "mlp:784-x-10", "mlp:100-10", "mlp:784-12", "wrn-15-1",
                           "wrn-16", "wrn-4-1", "resnet18-v2", "resnet-v2", "resnet50"}) {
    EXPECT_THROW(MakeImageNetwork(text, {}), UsageError) << text;
  }
}

}  // namespace
}  // namespace orchard::nn
