#include "io/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Header(int type, const std::vector<uint32_t>& shape) {
  std::string bytes = {'\0', '\0', static_cast<char>(type), static_cast<char>(shape.size())};
  for (uint32_t n : shape) {
    for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>(n >> shift & 0xFF);
  }
  return bytes;
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string ErrorOf(const std::string& bytes) {
  const TemporaryDirectory directory;
  try {
    ReadIdx(directory.Put("images.idx", bytes));
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("images.idx"));
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(ReadIdx, PlainAndGzippedAreTheSame) {
  const TemporaryDirectory directory;
  const std::string file = Header(0x08, {2, 3}) + "\1\2\3\4\5\6";
  for (const std::string& bytes : {file, Gzip(file)}) {
    const IdxArray array = ReadIdx(directory.Put("a", bytes));
    EXPECT_EQ(array.dtype, DType::kU8);
    EXPECT_THAT(array.shape, ElementsAre(2, 3));
    EXPECT_EQ(static_cast<int>(array.bytes[5]), 6);
  }
}

TEST(ReadIdx, NumbersComeInTheByteOrderOfTheMachine) {
  const TemporaryDirectory directory;
  const IdxArray array =
      ReadIdx(directory.Put("a", Header(0x0C, {2}) + std::string("\0\0\1\2\xff\xff\xff\xfe", 8)));
  int32_t values[2];
  std::memcpy(values, array.bytes.data(), sizeof values);
  EXPECT_THAT(values, ElementsAre(258, -2));
}

TEST(ReadIdx, DamagedFilesAreRefused) {
  const std::string file = Header(0x08, {2, 3}) + "\1\2\3\4\5\6";
  EXPECT_THAT(ErrorOf(""), HasSubstr("not an IDX file"));
  EXPECT_THAT(ErrorOf("PK\3\4"), HasSubstr("not an IDX file"));
  EXPECT_THAT(ErrorOf(Header(0x07, {1})), HasSubstr("type 0x07 is unknown"));
  EXPECT_THAT(ErrorOf(Header(0x08, std::vector<uint32_t>(9, 1))),
              HasSubstr("more than 8 dimensions"));
  EXPECT_THAT(ErrorOf(file.substr(0, 9)), HasSubstr("header is cut short"));
  EXPECT_THAT(ErrorOf(Header(0x08, {2, 4}) + "\1\2\3\4\5\6"),
              HasSubstr("holds 6 bytes, but its shape needs 8"));
  EXPECT_THAT(ErrorOf(Header(0x08, {2, 4}) + "\1\2\3\4\5\6"),
              HasSubstr("cut in record 1, offset 18"));
  EXPECT_THAT(ErrorOf(Header(0x08, {})), HasSubstr("cut in record 0, offset 4"));
  EXPECT_THAT(ErrorOf(file + "x"), HasSubstr("after the end"));
  EXPECT_THAT(ErrorOf(Gzip(file + "x")), HasSubstr("after the end"));
  EXPECT_THAT(ErrorOf(Header(0x0E, std::vector<uint32_t>(3, 0xFFFFFFFF))), HasSubstr("overflows"));
  EXPECT_THAT(ErrorOf(Header(0x08, {0x7FFFFFFF, 0x7FFFFFFF})),
              HasSubstr("more than the file can hold"));
  EXPECT_THAT(ErrorOf(Gzip(Header(0x08, {0x7FFFFFFF, 2}))),
              HasSubstr("more than the file can hold"));
  const std::string zipped = Gzip(file);
  EXPECT_THAT(ErrorOf(zipped.substr(0, zipped.size() - 9)), HasSubstr("gzip"));
  std::string wrong_sum = zipped;
  wrong_sum[wrong_sum.size() - 7] ^= 1;
  EXPECT_THAT(ErrorOf(wrong_sum), HasSubstr("gzip file is damaged"));
}

TEST(ReadIdx, ReadsFashionMnist) {
  const std::filesystem::path folder = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "Debian package dataset-fashion-mnist is not installed";
  const IdxArray images = ReadIdx(folder / "t10k-images-idx3-ubyte.gz");
  const IdxArray labels = ReadIdx(folder / "t10k-labels-idx1-ubyte.gz");
  EXPECT_THAT(images.shape, ElementsAre(10000, 28, 28));
  EXPECT_THAT(labels.shape, ElementsAre(10000));
  // The test set is balanced: a thousand of each of ten classes.
  int counts[10] = {};
  for (std::byte label : labels.bytes) ++counts[static_cast<int>(label) % 10];
  EXPECT_THAT(counts, ::testing::Each(1000));
}

}  // namespace
}  // namespace orchard::io
