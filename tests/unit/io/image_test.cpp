#include "io/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::HasSubstr;

// Red grows to the right, green downwards, blue is constant.
Image Gradient(int64_t height, int64_t width) {
  Image image{height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height * width * 3))};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.At(y, x, 0) = static_cast<uint8_t>(x * 4);
      image.At(y, x, 1) = static_cast<uint8_t>(y * 4);
      image.At(y, x, 2) = 77;
    }
  }
  return image;
}

TEST(Image, PngIsLossless) {
  const TemporaryDirectory directory;
  const Image image = Gradient(13, 20);
  WriteImage(directory / "a.png", image);
  const Image read = ReadImage(directory / "a.png", Color::kRgb);
  EXPECT_EQ(read.height, 13);
  EXPECT_EQ(read.width, 20);
  EXPECT_EQ(read.pixels, image.pixels);
}

TEST(Image, GreyIsTheWeightedSumOfRedGreenBlue) {
  Image image{1, 1, 3, {200, 100, 50}};
  const Image grey = DecodeImage(EncodeImage(image, ".png"), Color::kGrey, "x");
  ASSERT_EQ(grey.channels, 1);
  EXPECT_NEAR(grey.pixels[0], 0.299 * 200 + 0.587 * 100 + 0.114 * 50, 1);
}

TEST(Image, JpegKeepsSmoothColoursNearly) {
  const Image image = Gradient(32, 32);
  const Image read = DecodeImage(EncodeImage(image, ".jpg"), Color::kRgb, "x");
  double sum = 0;
  for (size_t i = 0; i < image.pixels.size(); ++i)
    sum += std::abs(image.pixels[i] - read.pixels[i]);
  EXPECT_LT(sum / static_cast<double>(image.pixels.size()), 4.0);
}

TEST(Image, AreaAveragesAndNearestRepeats) {
  const FloatImage image{2, 2, 1, {0.0f, 1.0f, 0.5f, 0.25f}};
  EXPECT_FLOAT_EQ(Resize(image, 1, 1, Interpolation::kArea).pixels[0], 0.4375f);
  const FloatImage large = Resize(image, 4, 4, Interpolation::kNearest);
  EXPECT_EQ(large.At(3, 0, 0), 0.5f);
  EXPECT_EQ(large.At(0, 1, 0), 0.0f);
}

TEST(Image, BilinearIsExactOnARamp) {
  FloatImage image{1, 8, 1, {0, 1, 2, 3, 4, 5, 6, 7}};
  const FloatImage half = Resize(image, 1, 4, Interpolation::kBilinear);
  for (int64_t x = 0; x < 4; ++x)
    EXPECT_FLOAT_EQ(half.At(0, x, 0), 2.0f * static_cast<float>(x) + 0.5f);
}

TEST(Image, ToFloatScalesToOne) {
  const FloatImage image = ToFloat(Image{1, 2, 1, {0, 255}});
  EXPECT_EQ(image.pixels[0], 0.0f);
  EXPECT_EQ(image.pixels[1], 1.0f);
}

TEST(Image, DamagedPicturesAreDataErrors) {
  const TemporaryDirectory directory;
  std::vector<std::byte> png = EncodeImage(Gradient(40, 40), ".png");
  const auto message = [&](std::span<const std::byte> bytes) -> std::string {
    try {
      DecodeImage(bytes, Color::kRgb, "cat.png");
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message({}), HasSubstr("cat.png"));
  EXPECT_THAT(message(std::as_bytes(std::span("hello world"))), HasSubstr("cat.png"));
  EXPECT_THAT(message(std::span(png).first(20)), HasSubstr("cat.png"));
  // A header that claims 2^31 - 1 pixels each way.
  for (int i : {16, 20}) {
    png[static_cast<size_t>(i)] = std::byte{0x7F};
    for (int k = 1; k < 4; ++k) png[static_cast<size_t>(i + k)] = std::byte{0xFF};
  }
  EXPECT_THAT(message(png), HasSubstr("cat.png"));
  EXPECT_THROW(EncodeImage(Gradient(2, 2), ".nothing"), DataError);
}

}  // namespace
}  // namespace orchard::io
