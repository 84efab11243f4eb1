#include "data/picture_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"

namespace orchard::data {
namespace {

namespace fs = std::filesystem;

const CropOptions kPlain{.size = 16, .mean = {0, 0, 0}, .deviation = {1, 1, 1}};

// Grey from 0 at the left to 255 at the right.
io::Image Ramp(int64_t height, int64_t width) {
  io::Image image{height, width, 3, {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        image.pixels.push_back(static_cast<uint8_t>(255 * x / (width - 1)));
    }
  }
  return image;
}

std::vector<float> Random(const io::Image& image, const CropOptions& options, uint64_t index,
                          uint64_t epoch = 0) {
  RandomStream random(1, "test", index, epoch);
  std::vector<float> out(static_cast<size_t>(3 * options.size * options.size));
  RandomCrop(image, options, random, out);
  return out;
}

fs::path Folder(const char* name, const std::vector<std::string>& files) {
  const fs::path folder = fs::path(testing::TempDir()) / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  for (const std::string& file : files) {
    fs::create_directories((folder / file).parent_path());
    io::WriteImage(folder / file, Ramp(8, 8));
  }
  return folder;
}

TEST(PictureFolder, ListsFilesByClassInTheOrderOfNames) {
  const PictureFolder found =
      ListPictures(Folder("listed", {"dog/2.png", "dog/1.png", "cat/9.png"}));
  EXPECT_EQ(found.classes, (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(found.labels, (std::vector<int32_t>{0, 1, 1}));
  EXPECT_EQ(found.files[1].filename(), "1.png");
}

TEST(PictureFolder, NumbersTestingsClassesAsTrainingDoes) {
  const std::vector<std::string> classes = {"cat", "cow", "dog"};
  EXPECT_EQ(ListPictures(Folder("some", {"dog/1.png"}), classes).labels, (std::vector<int32_t>{2}));
  EXPECT_THROW(ListPictures(Folder("other", {"emu/1.png"}), classes), DataError);
  EXPECT_THROW(ListPictures(Folder("none", {})), DataError);
  EXPECT_THROW(ListPictures("/there/is/no/such"), DataError);
}

TEST(RandomCrop, DependsOnImageAndEpochAlone) {
  io::Image image{40, 60, 3, {}};  // no part is like another
  for (int64_t i = 0; i < 40 * 60 * 3; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * i % 251));
  EXPECT_EQ(Random(image, kPlain, 3, 2), Random(image, kPlain, 3, 2));
  std::set<std::vector<float>> different;
  for (uint64_t i = 0; i < 10; ++i) {
    different.insert(Random(image, kPlain, i, 0));
    different.insert(Random(image, kPlain, 0, 1 + i));
  }
  EXPECT_EQ(different.size(), 20u);
}

TEST(RandomCrop, TakesPartsOfAllowedSizeAndMirrorsHalfOfThem) {
  // On a ramp the difference of the outer columns tells how wide the part was.
  int mirrored = 0;
  const int draws = 2000;
  double narrowest = 1, widest = 0;
  for (int i = 0; i < draws; ++i) {
    const std::vector<float> out = Random(Ramp(64, 64), kPlain, static_cast<uint64_t>(i));
    const double width = (out[15] - out[0]) * 16.0 / 15;
    mirrored += width < 0 ? 1 : 0;
    narrowest = std::min(narrowest, std::abs(width));
    widest = std::max(widest, std::abs(width));
  }
  EXPECT_NEAR(mirrored, draws / 2.0, 4.5 * std::sqrt(draws / 4.0));
  // Area 8 % and 3:4 give the narrowest part; a ramp of 64 steps is read to 1/64.
  EXPECT_GT(narrowest, std::sqrt(0.08 * 0.75) - 0.05);
  EXPECT_LT(narrowest, 0.35);
  EXPECT_GT(widest, 0.9);
}

TEST(RandomCrop, OfAPictureThatIsTooLongIsOfItsMiddle) {
  // No part of 8 % and 3:4 fits a strip of 4 x 400.
  const std::vector<float> out = Random(Ramp(4, 400), kPlain, 0);
  for (const float v : out) EXPECT_NEAR(v, 0.5, 0.02);
}

TEST(RandomCrop, JitterAndLightingVaryColoursOnly) {
  io::Image grey{20, 20, 3, std::vector<uint8_t>(1200, 102)};  // 0.4
  CropOptions options = kPlain;
  EXPECT_NEAR(Random(grey, options, 0)[0], 0.4, 1e-6);
  options.jitter = 0.4;
  for (uint64_t i = 0; i < 50; ++i) {
    const std::vector<float> out = Random(grey, options, i);
    // Of one colour contrast and saturation change nothing, brightness at most by 40 %.
    EXPECT_NEAR(*std::min_element(out.begin(), out.end()),
                *std::max_element(out.begin(), out.end()), 1e-6);
    EXPECT_GT(out[0], 0.4 * 0.6 - 1e-6);
    EXPECT_LT(out[0], 0.4 * 1.4 + 1e-6);
  }
  options.jitter = 0;
  options.lighting = 0.1;
  const std::vector<float> lit = Random(grey, options, 0);
  EXPECT_NE(lit[0], lit[256]);     // channels move apart
  EXPECT_NEAR(lit[0], 0.4, 0.15);  // 0.1 of axes of at most 0.22
}

TEST(CenterCrop, IsTheMiddleOfTheResizedPicture) {
  CropOptions options = kPlain;
  options.size = 7;  // the shorter side becomes 8
  std::vector<float> out(3 * 49);
  CenterCrop(Ramp(8, 32), options, out);
  // Columns 12 to 18 of 32 unresized ones.
  for (int x = 0; x < 7; ++x) EXPECT_NEAR(out[x], 255 * (12 + x) / 31 / 255.0, 1e-6);
  options.mean = {0.5, 0.5, 0.5};
  options.deviation = {0.25, 0.25, 0.25};
  std::vector<float> normalised(out.size());
  CenterCrop(Ramp(8, 32), options, normalised);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(normalised[i], (out[i] - 0.5) * 4, 1e-6);
}

}  // namespace
}  // namespace orchard::data
