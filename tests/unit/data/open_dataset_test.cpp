#include "data/open_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/image.h"
#include "unit/io/temporary_directory.h"

namespace orchard::data {
namespace {

using ::testing::ElementsAre;

class OpenDataset : public ::testing::Test {
 protected:
  std::shared_ptr<const TokenSource> Tokens(const std::vector<int64_t>& shape) {
    const auto path = directory_ / "tokens.h5";
    std::vector<uint16_t> tokens(12);
    std::iota(tokens.begin(), tokens.end(), uint16_t{60000});
    io::Hdf5File file = io::Hdf5File::Create(path);
    file.Write<uint16_t>("tokens", tokens, shape);
    file.Finish();
    return OpenTokens(path, nullptr, {}, pool_);
  }
  io::TemporaryDirectory directory_;
  ThreadPool pool_{1};
};

TEST_F(OpenDataset, ReadsAStreamOfUnsignedTokens) {
  const TokenDataset data(Tokens({12}), 5);
  EXPECT_EQ(data.size(), 2);
  const std::vector<Sample> samples = {{0, 0, 1}};
  const TokenBatch batch = data.Causal(samples);
  EXPECT_THAT(batch.inputs, ElementsAre(60005, 60006, 60007, 60008, 60009));
  EXPECT_EQ(batch.labels.back(), 60010);
}

TEST_F(OpenDataset, ReadsRowsOfTokens) {
  const TokenDataset data(Tokens({3, 4}), 3);
  EXPECT_EQ(data.size(), 3);
  const std::vector<Sample> samples = {{0, 0, 2}};
  const TokenBatch batch = data.Causal(samples);
  EXPECT_THAT(batch.inputs, ElementsAre(60008, 60009, 60010));
  EXPECT_THAT(batch.labels, ElementsAre(60009, 60010, 60011));
}

TEST_F(OpenDataset, ATextNeedsATokenizer) {
  const auto path = directory_.Put("a.txt", "ab\ncd");
  EXPECT_THROW(OpenTokens(path, nullptr, {}, pool_), UsageError);
  const text::Tokenizer bytes = text::Tokenizer::Bytes();
  EXPECT_EQ(OpenTokens(path, &bytes, {.split = text::DocumentSplit::kWhole}, pool_)->size(), 5);
  EXPECT_THROW(OpenTokens(directory_ / "absent.txt", &bytes, {}, pool_), DataError);
}

TEST_F(OpenDataset, ReadsImagesOfHdf5) {
  const auto path = directory_ / "images.h5";
  const std::vector<uint8_t> pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.Write<uint8_t>("images", pixels, {2, 3, 1, 2});
  file.Write<uint8_t>("labels", std::vector<uint8_t>{1, 0}, {2});
  file.Finish();
  const ImageDataset images = OpenImages(path);
  EXPECT_EQ(images.channels(), 3);
  EXPECT_EQ(images.classes(), 2);
  EXPECT_THAT(images.Image(1), ElementsAre(7, 8, 9, 10, 11, 12));
}

TEST_F(OpenDataset, PixelsAndLabelsOfHdf5ThatAreNoneNameTheirRecord) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto open = [&](const std::vector<double>& pixels, const std::vector<double>& labels,
                        int64_t classes = 0) {
    const auto path = directory_ / "images.h5";
    io::Hdf5File file = io::Hdf5File::Create(path);
    file.Write<double>("images", pixels, {3, 1, 1, 2});
    file.Write<double>("labels", labels, {3});
    if (classes > 0) file.SetAttribute("/", "classes", classes);
    file.Finish();
    return OpenImages(path);
  };
  const auto message = [&](const auto&... arguments) -> std::string {
    try {
      open(arguments...);
    } catch (const DataError& e) {
      return e.what();
    }
    return "";
  };
  using testing::HasSubstr;
  const std::vector<double> good = {0, 1, 254, 255, 7, 8}, labels = {0, 1, 2};
  EXPECT_THAT(open(good, labels).Image(1), ElementsAre(254, 255));
  for (const double bad : {nan, 256.0, -1.0, 0.5}) {
    std::vector<double> pixels = good;
    pixels[3] = bad;
    const std::string text = message(pixels, labels);
    EXPECT_THAT(text, HasSubstr("images.h5: images: record 1"));
    EXPECT_THAT(text, HasSubstr("is no pixel of 0 to 255"));
  }
  EXPECT_THAT(message(good, std::vector{0.0, 1.0, nan}), HasSubstr("images.h5: labels: record 2"));
  EXPECT_THAT(message(good, std::vector{0.0, -1.0, 2.0}), HasSubstr("labels: record 1"));
  EXPECT_THAT(message(good, labels, int64_t{2}), HasSubstr("label 2 lies outside the 2 classes"));
  EXPECT_EQ(open(good, labels, 5).classes(), 5);
}

TEST_F(OpenDataset, ReadsIdxWithTheLabelsBesideIt) {
  const auto path =
      directory_.Put("t-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02"
                                                        "abcd",
                                                        20));
  directory_.Put("t-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\x02\x03\x00", 10));
  const ImageDataset images = OpenImages(path);
  EXPECT_EQ(images.height(), 1);
  EXPECT_EQ(images.width(), 2);
  EXPECT_THAT(images.Image(1), ElementsAre('c', 'd'));
  EXPECT_EQ(images.Label(0), 3);
}

TEST_F(OpenDataset, ReadsAFolderPerClass) {
  for (const auto& [name, grey] : {std::pair{"b/1.png", 10}, {"a/2.png", 20}, {"a/1.png", 30}}) {
    io::Image image{2, 2, 3, std::vector<uint8_t>(12, static_cast<uint8_t>(grey))};
    const auto path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    io::WriteImage(path, image);
  }
  const ImageDataset images = OpenImages(directory_.path());
  ASSERT_EQ(images.size(), 3);
  EXPECT_THAT((std::vector{images.Label(0), images.Label(1), images.Label(2)}),
              ElementsAre(0, 0, 1));
  EXPECT_EQ(images.Image(0)[0], 30);
  EXPECT_EQ(images.Image(2)[0], 10);
  EXPECT_EQ(OpenImages(directory_.path(), {.size = 4}).height(), 4);
}

}  // namespace
}  // namespace orchard::data
