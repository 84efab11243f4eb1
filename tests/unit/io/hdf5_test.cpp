#include "io/hdf5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::vector<T> Ramp(size_t count) {
  std::vector<T> values(count);
  std::iota(values.begin(), values.end(), T{0});
  return values;
}

std::string ErrorOf(const std::function<void()>& action, ExitCode code = ExitCode::kData) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

template <class T>
class Hdf5Numbers : public ::testing::Test {};
using Numbers = ::testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t,
                                 int64_t, float, double>;
TYPED_TEST_SUITE(Hdf5Numbers, Numbers);

TYPED_TEST(Hdf5Numbers, AreReadBackByRows) {
  const TemporaryDirectory directory;
  const auto values = Ramp<TypeParam>(5 * 3 * 2);
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<TypeParam>("deep/group/data", values, {5, 3, 2}, {.chunk_rows = 2});
    file.Finish();
  }
  const Hdf5File file = Hdf5File::Open(directory / "a.h5");
  const Hdf5Info info = file.Info("deep/group/data");
  EXPECT_EQ(info.dtype, DTypeOf<TypeParam>());
  EXPECT_THAT(info.shape, ElementsAre(5, 3, 2));
  EXPECT_THAT(info.chunk, ElementsAre(2, 3, 2));
  EXPECT_EQ(file.Read<TypeParam>("deep/group/data"), values);
  std::vector<TypeParam> rows(2 * 6);
  file.ReadRows<TypeParam>("deep/group/data", 1, 3, rows);
  EXPECT_EQ(rows, std::vector<TypeParam>(values.begin() + 6, values.begin() + 18));
}

TEST(Hdf5File, RowsAppendedInPiecesAreTheWhole) {
  const TemporaryDirectory directory;
  const auto values = Ramp<int32_t>(1000 * 7);
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<int32_t>("tokens", {}, {0, 7}, {}, true);
    for (size_t row = 0; row < 1000; row += 250)
      file.Append<int32_t>("tokens", std::span(values).subspan(row * 7, 250 * 7));
    file.Finish();
  }
  const Hdf5File file = Hdf5File::Open(directory / "a.h5");
  EXPECT_THAT(file.Info("tokens").shape, ElementsAre(1000, 7));
  EXPECT_EQ(file.Read<int32_t>("tokens"), values);
}

TEST(Hdf5File, AnExistingFileCanBeUpdated) {
  const TemporaryDirectory directory;
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<float>("x", std::vector<float>{1, 2}, {2}, {}, true);
    file.Finish();
  }
  {
    Hdf5File file = Hdf5File::Update(directory / "a.h5");
    file.Append<float>("x", std::vector<float>{3});
    file.Finish();
  }
  EXPECT_THAT(Hdf5File::Open(directory / "a.h5").Read<float>("x"), ElementsAre(1, 2, 3));
}

TEST(Hdf5File, CompressionShrinksWhatRepeats) {
  const TemporaryDirectory directory;
  const std::vector<int64_t> values(200000, 7);
  for (int gzip : {0, 4}) {
    Hdf5File file = Hdf5File::Create(directory / ("gzip" + std::to_string(gzip)));
    file.Write<int64_t>("x", values, {200000}, {.gzip = gzip});
    file.Finish();
  }
  EXPECT_LT(std::filesystem::file_size(directory / "gzip4") * 20,
            std::filesystem::file_size(directory / "gzip0"));
}

TEST(Hdf5File, StringsScalarsAndAttributes) {
  const TemporaryDirectory directory;
  const std::vector<std::string> names = {"cat", "", "dög", std::string(1000, 'x')};
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.WriteStrings("names", names);
    file.Write<double>("scale", std::vector<double>{2.5}, {});
    file.SetAttribute("/", "format", std::string("orchard"));
    file.SetAttribute("names", "classes", int64_t{3});
    file.SetAttribute("names", "classes", int64_t{4});
    file.SetAttribute("names", "mean", std::vector<double>{0.5, 0.25});
    file.SetAttribute("/", "shape", std::vector<int64_t>{1, 28});
    file.Finish();
  }
  const Hdf5File file = Hdf5File::Open(directory / "a.h5");
  EXPECT_EQ(file.ReadStrings("names"), names);
  EXPECT_THAT(file.Read<double>("scale"), ElementsAre(2.5));
  EXPECT_THAT(file.List(), ElementsAre("names", "scale"));
  EXPECT_EQ(std::get<std::string>(file.GetAttribute("/", "format")), "orchard");
  EXPECT_EQ(std::get<int64_t>(file.GetAttribute("names", "classes")), 4);
  EXPECT_THAT(std::get<std::vector<double>>(file.GetAttribute("names", "mean")),
              ElementsAre(0.5, 0.25));
  EXPECT_THAT(std::get<std::vector<int64_t>>(file.GetAttribute("/", "shape")), ElementsAre(1, 28));
  EXPECT_FALSE(file.HasAttribute("/", "none"));
  EXPECT_THAT(ErrorOf([&] { file.GetAttribute("/", "none"); }), HasSubstr("no attribute 'none'"));
}

TEST(Hdf5File, WidensButNeverLoses) {
  const TemporaryDirectory directory;
  Hdf5File file = Hdf5File::Create(directory / "a.h5");
  file.Write<uint8_t>("u8", std::vector<uint8_t>{255}, {1});
  file.Write<int64_t>("i64", std::vector<int64_t>{1ll << 60}, {1});
  file.Write<double>("f64", std::vector<double>{0.1}, {1});
  EXPECT_THAT(file.Read<int32_t>("u8"), ElementsAre(255));
  EXPECT_THAT(file.Read<float>("u8"), ElementsAre(255.0f));
  EXPECT_THAT(file.Read<float>("f64"), ElementsAre(0.1f));
  EXPECT_THAT(ErrorOf([&] { file.Read<int8_t>("u8"); }),
              HasSubstr("holds U8, which I8 cannot hold"));
  EXPECT_THAT(ErrorOf([&] { file.Read<int32_t>("i64"); }), HasSubstr("cannot hold"));
  EXPECT_THAT(ErrorOf([&] { file.Read<double>("i64"); }), HasSubstr("cannot hold"));
  EXPECT_THAT(ErrorOf([&] { file.Read<int64_t>("f64"); }), HasSubstr("cannot hold"));
}

TEST(Hdf5File, LeavesNothingWithoutFinish) {
  const TemporaryDirectory directory;
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<float>("x", std::vector<float>{1}, {1});
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Hdf5File, ErrorsNameFileAndDataset) {
  const TemporaryDirectory directory;
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(directory / "none.h5"); }), HasSubstr("no such file"));
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(directory.path()); }), HasSubstr("is a directory"));
  const auto junk = directory.Put("junk.h5", "not hdf5 at all");
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(junk); }), HasSubstr("junk.h5"));
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Create(directory / "no/a.h5"); }, ExitCode::kResource),
              HasSubstr("cannot create"));
  Hdf5File file = Hdf5File::Create(directory / "a.h5");
  file.Write<float>("g/x", std::vector<float>{1}, {1});
  EXPECT_THAT(ErrorOf([&] { file.Read<float>("g/y/z"); }), HasSubstr("a.h5: g/y/z"));
  EXPECT_THAT(ErrorOf([&] { file.Read<float>("g"); }), HasSubstr("not a dataset"));
  EXPECT_THAT(ErrorOf([&] { file.List("g/x"); }), HasSubstr("not a group"));
  EXPECT_THAT(ErrorOf([&] { file.ReadStrings("g/x"); }), HasSubstr("not a list of strings"));
  EXPECT_THAT(ErrorOf([&] { file.Write<float>("g/x", std::vector<float>{1}, {1}); }),
              HasSubstr("exists already"));
  EXPECT_TRUE(file.Has("g/x"));
  EXPECT_FALSE(file.Has("h/x"));
}

TEST(Hdf5File, NothingIsPrintedByTheLibrary) {
  const TemporaryDirectory directory;
  const auto junk = directory.Put("junk.h5", "not hdf5 at all");
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(Hdf5File::Open(junk), DataError);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(Hdf5File, DamagedChunksAreDataErrors) {
  const TemporaryDirectory directory;
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<int32_t>("x", Ramp<int32_t>(100000), {100000});
    file.Finish();
  }
  std::string bytes;
  {
    std::ifstream in(directory / "a.h5", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2), bytes.end() - 100, 'x');
  const auto path = directory.Put("a.h5", bytes);
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(path).Read<int32_t>("x"); }), HasSubstr("a.h5"));
}

// A file with the numbers 0, 1, ... whose header then claims `claimed` of them.
std::filesystem::path FileThatClaims(const TemporaryDirectory& directory, int64_t claimed,
                                     const Hdf5Storage& storage) {
  constexpr int64_t kRows = 123'457;
  {
    Hdf5File file = Hdf5File::Create(directory / "a.h5");
    file.Write<int32_t>("x", Ramp<int32_t>(kRows), {kRows}, storage, /*growable=*/true);
    file.Finish();
  }
  std::string bytes;
  {
    std::ifstream in(directory / "a.h5", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto text_of = [](int64_t n) { return std::string(reinterpret_cast<char*>(&n), 8); };
  const size_t shape = bytes.find(text_of(kRows));
  EXPECT_NE(shape, std::string::npos);
  bytes.replace(shape, 8, text_of(claimed));
  return directory.Put("a.h5", bytes);
}

TEST(Hdf5File, AShapeThatClaimsMoreThanIsStoredIsRefused) {
  const TemporaryDirectory directory;
  const auto path = FileThatClaims(directory, 3'000'000'000, {.gzip = 4});
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(path).Read<int32_t>("x"); }), HasSubstr("a.h5: x"));
}

// 64 MB at most, but two million chunks to fill in, each of which takes the library long.
TEST(Hdf5File, AShapeOfVeryManyChunksThatAreNotThereIsRefused) {
  const TemporaryDirectory directory;
  const auto path = FileThatClaims(directory, 16'000'000, {.chunk_rows = 8});
  EXPECT_THAT(ErrorOf([&] { Hdf5File::Open(path).Read<int32_t>("x"); }), HasSubstr("a.h5: x"));
}

TEST(Hdf5File, SparseRowsAreZeros) {
  const TemporaryDirectory directory;
  const auto path = FileThatClaims(directory, 123'500, {.chunk_rows = 8});
  const auto values = Hdf5File::Open(path).Read<int32_t>("x");
  ASSERT_EQ(values.size(), 123'500U);
  EXPECT_EQ(values[123'456], 123'456);
  EXPECT_EQ(values[123'499], 0);
}

RC_GTEST_PROP(Hdf5File, AnyRowRangeIsTheSliceOfTheWhole, ()) {
  const TemporaryDirectory directory;
  const auto rows = *rc::gen::inRange<int64_t>(0, 40), columns = *rc::gen::inRange<int64_t>(1, 5);
  const auto begin = *rc::gen::inRange<int64_t>(0, rows + 1),
             end = *rc::gen::inRange<int64_t>(begin, rows + 1);
  const auto values = Ramp<uint16_t>(static_cast<size_t>(rows * columns));
  Hdf5File file = Hdf5File::Create(directory / "a.h5");
  file.Write<uint16_t>(
      "x", values, {rows, columns},
      {.chunk_rows = *rc::gen::inRange<int64_t>(1, 50), .gzip = *rc::gen::inRange(0, 10)});
  std::vector<int32_t> read(static_cast<size_t>((end - begin) * columns));
  file.ReadRows<int32_t>("x", begin, end, read);
  RC_ASSERT(std::equal(read.begin(), read.end(), values.begin() + begin * columns));
}

}  // namespace
}  // namespace orchard::io
