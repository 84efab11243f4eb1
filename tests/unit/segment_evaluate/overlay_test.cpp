#include "volume/overlay.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/image.h"
#include "io/png.h"

namespace orchard::volume {
namespace {

constexpr Size3 kSize = {20, 30, 10};

OverlayArgs Args(const std::vector<float>& image) {
  OverlayArgs args{.size = kSize, .spacing = {1, 1, 2}, .image = image.data(), .pixels = 60};
  args.window = {50, 100};
  args.legend = false;
  return args;
}

// 60 pixels for 30 mm: two a millimetre. The axial plane is 40 x 60, the coronal one 40 x 40, the
// sagittal one 60 x 40; six pixels lie between them.
TEST(DrawPlanes, KeepsMillimetresAlikeInAllPlanes) {
  const std::vector<float> image(Voxels(kSize), 50);
  const io::Image picture = DrawPlanes(Args(image), {3, 4, 5});
  EXPECT_EQ(picture.width, 40 + 6 + 40 + 6 + 60);
  EXPECT_EQ(picture.height, 60);
  EXPECT_EQ(picture.At(1, 1, 0), 128);  // the middle of the window
}

TEST(DrawPlanes, ShowsThePatientsRightOnTheLeft) {
  std::vector<float> image(Voxels(kSize), 0);
  // The patient's right half is white: i grows to the right.
  for (int64_t v = 0; v < Voxels(kSize); ++v) image[v] = v % 20 >= 10 ? 100.0f : 0.0f;
  const io::Image picture = DrawPlanes(Args(image), {3, 4, 5});
  EXPECT_EQ(picture.At(20, 2, 0), 255);  // the left of the picture: i = 19 by the flip
  EXPECT_EQ(picture.At(20, 36, 0), 0);
}

TEST(DrawPlanes, FillsAndOutlinesInTheColoursOfTheClasses) {
  const std::vector<float> image(Voxels(kSize), 0);
  std::vector<uint16_t> labels(Voxels(kSize), 0);
  for (int64_t k = 2; k < 8; ++k)
    for (int64_t j = 8; j < 20; ++j)
      for (int64_t i = 4; i < 14; ++i) labels[IndexOf(kSize, i, j, k)] = 3;
  OverlayArgs args = Args(image);
  args.outlined = labels.data();
  const auto count = [&](const io::Image& picture) {
    const auto color = ClassColor(3);
    int64_t pixels = 0;
    for (int64_t y = 0; y < picture.height; ++y)
      for (int64_t x = 0; x < 40; ++x)  // the axial plane
        pixels += picture.At(y, x, 0) == color[0] && picture.At(y, x, 1) == color[1] &&
                  picture.At(y, x, 2) == color[2];
    return pixels;
  };
  // 10 x 12 voxels are 20 x 24 pixels: an outline of 84, less where dotted lines cross it.
  const int64_t outline = count(DrawPlanes(args, {0, 0, 5}));
  EXPECT_LE(outline, 84);
  EXPECT_GE(outline, 80);
  args.outlined = nullptr;
  args.filled = labels.data();
  EXPECT_EQ(count(DrawPlanes(args, {0, 0, 5})), 0);  // translucent
  EXPECT_GT(DrawPlanes(args, {0, 0, 5}).At(60 - 2 * 14, 40 - 2 * 9, 0), 0);
}

TEST(DrawPlanes, RefusesAVoxelOutside) {
  const std::vector<float> image(Voxels(kSize), 0);
  EXPECT_THROW(DrawPlanes(Args(image), {20, 0, 0}), UsageError);
}

TEST(EncodePng, IsReadBackToTheByte) {
  std::vector<float> image(Voxels(kSize));
  for (int64_t v = 0; v < Voxels(kSize); ++v) image[v] = static_cast<float>(v * 37 % 101);
  const io::Image picture = DrawPlanes(Args(image), {3, 4, 5});
  const std::vector<std::byte> png = io::EncodePng(picture);
  EXPECT_EQ(io::DecodeImage(png, io::Color::kRgb, "png").pixels, picture.pixels);
  io::Image grey{.height = 2, .width = 3, .channels = 1, .pixels = {0, 255, 7, 9, 8, 1}};
  EXPECT_EQ(io::DecodeImage(io::EncodePng(grey), io::Color::kGrey, "png").pixels, grey.pixels);
}

TEST(ChooseWindow, TakesSoftTissueForCtAndTheRangeElsewhere) {
  std::vector<float> ct(1000, -1000), mr(1000);
  ct[3] = 300;
  EXPECT_EQ(ChooseWindow(ct).level, 40);
  EXPECT_EQ(ChooseWindow(ct).width, 400);
  for (size_t v = 0; v < mr.size(); ++v) mr[v] = static_cast<float>(v);
  EXPECT_NEAR(ChooseWindow(mr).level, 500, 1);
  EXPECT_NEAR(ChooseWindow(mr).width, 988, 2);
  EXPECT_GT(ChooseWindow(std::vector<float>(10, 7)).width, 0);
}

TEST(CenterOf, IsAVoxelOfTheLabel) {
  // A ring around an empty middle.
  const Size3 size = {5, 5, 1};
  std::vector<uint16_t> labels(25, 0);
  for (int64_t v = 0; v < 25; ++v)
    if (v % 5 == 0 || v % 5 == 4 || v / 5 == 0 || v / 5 == 4) labels[v] = 2;
  const Size3 center = CenterOf(labels, size, 2);
  EXPECT_EQ(labels[IndexOf(size, center[0], center[1], center[2])], 2);
  EXPECT_EQ(CenterOf(labels, size, 9), (Size3{2, 2, 0}));
}

}  // namespace
}  // namespace orchard::volume
