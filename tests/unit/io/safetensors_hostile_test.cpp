// Damaged and malicious checkpoints: each is refused with the right exit code and one line that
// names file and place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "io/safetensors.h"
#include "unit/io/safetensors_bytes.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Opens `path` and returns the message; checks exit code, that the file is named and that it is one
// line.
std::string OpenError(const std::filesystem::path& path) {
  try {
    Checkpoint::Open(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kData) << error.what();
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    EXPECT_THAT(error.what(), HasSubstr(path.parent_path().string()));
    return error.what();
  }
  ADD_FAILURE() << "opened without an error";
  return "";
}

struct HostileFile {
  const char* name;
  std::string bytes;
  const char* message;  // a part of it
};

void PrintTo(const HostileFile& file, std::ostream* out) { *out << file.name; }

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

// One tensor `w` whose fields are given.
std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets,
                size_t data) {
  return FileOf("{" + Entry("w", dtype, shape, offsets) + "}", data);
}

std::vector<HostileFile> HostileFiles() {
  const std::string good = Entry("w", "F32", "[2]", "[0,8]");
  const std::string nested = "{\"w\":{\"dtype\":\"F32\",\"shape\":" + std::string(100000, '[');
  return {
      {"Empty", "", "too short"},
      {"SevenBytes", "1234567", "too short"},
      {"LengthZero", LittleEndian64(0) + "{}", "header length is 0"},
      {"LengthTwoTo63", LittleEndian64(1ull << 63) + "{}", "over the limit of 100 MB"},
      {"LengthAllOnes", LittleEndian64(~0ull) + "{}", "over the limit of 100 MB"},
      {"LengthOver100MB", LittleEndian64(100'000'001) + "{}", "over the limit of 100 MB"},
      {"LengthPastEnd", LittleEndian64(64) + "{}", "ends past the end of the file"},
      {"NotJson", FileOf("hello world", 0), "does not begin with '{'"},
      {"LeadingSpace", FileOf(" {" + good + "}", 8), "does not begin with '{'"},
      {"Pickle", std::string("\x80\x02}q\x00X", 6) + std::string(10, '\0'),
       "over the limit of 100 MB"},
      {"CutJson", FileOf("{\"w\":{\"dtype\":\"F32\"", 8), "not valid JSON"},
      {"TwoDocuments", FileOf("{" + good + "}{}", 8), "not valid JSON"},
      {"ZeroByteInHeader", FileOf("{" + good + "}" + std::string(1, '\0') + "junk", 8),
       "zero byte"},
      {"Array", FileOf("[]", 0), "does not begin with '{'"},
      {"Comment", FileOf("{/* */" + good + "}", 8), "not valid JSON"},
      {"InvalidUtf8Name", FileOf("{" + Entry("\xC3\x28", "F32", "[2]", "[0,8]") + "}", 8), "UTF-8"},
      {"OverlongUtf8", FileOf("{" + Entry("\xC0\xAF", "F32", "[2]", "[0,8]") + "}", 8), "UTF-8"},
      {"LoneSurrogate", FileOf("{" + Entry("\\ud800", "F32", "[2]", "[0,8]") + "}", 8),
       "surrogate"},
      {"DuplicateTensor", FileOf("{" + good + "," + good + "}", 8), "appears twice"},
      {"DuplicateEscaped",
       FileOf("{" + good + "," + Entry("\\u0077", "F32", "[2]", "[0,8]") + "}", 8),
       "appears twice"},
      {"DuplicateField",
       FileOf(R"({"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8),
       "\"dtype\" appears twice"},
      {"DuplicateMetadata", FileOf(R"({"__metadata__":{},"__metadata__":{}})", 0), "appears twice"},
      {"DuplicateMetadataKey", FileOf(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "appears twice"},
      {"DeepNesting", FileOf(nested, 0), "holds an array"},
      {"DeepObjects", FileOf("{\"w\":{\"dtype\":{", 0), "\"dtype\" is an object"},
      {"EntryNull", FileOf(R"({"w":null})", 0), "entry is null"},
      {"EntryNumber", FileOf(R"({"w":5})", 0), "entry is a number"},
      {"EntryString", FileOf(R"({"w":"F32"})", 0), "entry is a string"},
      {"EntryArray", FileOf(R"({"w":[1]})", 0), "entry is an array"},
      {"DTypeNumber", FileOf(R"({"w":{"dtype":32,"shape":[2],"data_offsets":[0,8]}})", 8),
       "\"dtype\" is a number"},
      {"UnknownDType", One("F33", "[2]", "[0,8]", 8), "unknown dtype 'F33'"},
      {"LowerCaseDType", One("f32", "[2]", "[0,8]", 8), "unknown dtype 'f32'"},
      {"ShapeNumber", One("F32", "2", "[0,8]", 8), "\"shape\" is a number"},
      {"ShapeString", One("F32", "[\"2\"]", "[0,8]", 8), "\"shape\" holds a string"},
      {"ShapeFraction", One("F32", "[2.0]", "[0,8]", 8), "is not an integer"},
      {"ShapeNegative", One("F32", "[-2]", "[0,8]", 8), "negative number -2"},
      {"ShapeTwoTo63", One("F32", "[9223372036854775808]", "[0,8]", 8), "does not fit"},
      {"ShapeTwoTo64", One("F32", "[18446744073709551616]", "[0,8]", 8),
       "not an integer below 2^64"},
      {"ShapeHuge", One("F32", "[1e999]", "[0,8]", 8), "not valid JSON"},
      {"ShapeProductWraps", One("F32", "[4294967296,4294967296,2]", "[0,8]", 8), "overflows"},
      {"ShapeBytesWrap", One("F32", "[4611686018427387906]", "[0,8]", 8), "overflows"},
      {"ShapeNested", One("F32", "[[2]]", "[0,8]", 8), "holds an array"},
      {"TooManyDimensions",
       One(
           "U8",
           "[1" + std::string(128, ' ') +
               [] {
                 std::string s;
                 for (int i = 0; i < 64; ++i) s += ",1";
                 return s;
               }() +
               "]",
           "[0,1]", 1),
       "more than 64 dimensions"},
      {"OffsetsMissing", FileOf(R"({"w":{"dtype":"F32","shape":[2]}})", 8),
       "\"data_offsets\" is missing"},
      {"ShapeMissing", FileOf(R"({"w":{"dtype":"F32","data_offsets":[0,8]}})", 8),
       "\"shape\" is missing"},
      {"OneOffset", One("F32", "[2]", "[8]", 8), "1 numbers, not two"},
      {"ThreeOffsets", One("F32", "[2]", "[0,4,8]", 8), "more than two"},
      {"NegativeOffset", One("F32", "[2]", "[-8,0]", 8), "negative number"},
      {"OffsetsFraction", One("F32", "[2]", "[0.5,8]", 8), "not an integer"},
      {"OffsetTwoTo64", One("F32", "[2]", "[0,18446744073709551616]", 8),
       "not an integer below 2^64"},
      {"BeginAfterEnd", One("F32", "[2]", "[8,0]", 8), "begin 8 lies after end 0"},
      {"EndPastFile", One("F32", "[4]", "[0,16]", 8), "ends 8 bytes past the end of the file"},
      {"EndWraps", One("F32", "[2]", "[18446744073709551608,18446744073709551615]", 8),
       "past the end of the file"},
      {"SizeTooSmall", One("F32", "[2]", "[0,4]", 4), "has 4 bytes, but F32 [2] needs 8"},
      {"DTypeLie", One("F64", "[2]", "[0,8]", 8), "has 8 bytes, but F64 [2] needs 16"},
      {"ScalarTooLarge", One("F32", "[]", "[0,8]", 8), "needs 4"},
      {"PackedInsideByte", One("F4", "[3]", "[0,2]", 2), "ends inside a byte"},
      {"Overlap",
       FileOf(
           "{" + Entry("a", "F32", "[2]", "[0,8]") + "," + Entry("b", "F32", "[2]", "[4,12]") + "}",
           12),
       "overlaps tensor a"},
      {"SameBytesTwice",
       FileOf(
           "{" + Entry("a", "F32", "[2]", "[0,8]") + "," + Entry("b", "F32", "[2]", "[0,8]") + "}",
           8),
       "overlaps tensor a"},
      {"EmptyInsideOther",
       FileOf(
           "{" + Entry("a", "F32", "[2]", "[0,8]") + "," + Entry("b", "F32", "[0]", "[4,4]") + "}",
           8),
       "overlaps tensor a"},
      {"HoleAtStart", One("F32", "[2]", "[8,16]", 16), "8 bytes before the tensor belong to none"},
      {"HoleBetween",
       FileOf(
           "{" + Entry("a", "F32", "[1]", "[0,4]") + "," + Entry("b", "F32", "[1]", "[8,12]") + "}",
           12),
       "4 bytes before the tensor"},
      {"TrailingGarbage", One("F32", "[2]", "[0,8]", 11), "3 bytes after the last tensor"},
      {"DataWithoutTensors", FileOf("{}", 4), "4 bytes after the last tensor"},
      {"UnknownField",
       FileOf(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}})", 8),
       "unknown field 'stride'"},
      {"MetadataIsTensor", FileOf("{" + Entry("__metadata__", "F32", "[2]", "[0,8]") + "}", 8),
       "metadata entry 'shape' is an array"},
      {"MetadataNumber", FileOf(R"({"__metadata__":{"a":1}})", 0),
       "metadata entry 'a' is a number"},
      {"MetadataString", FileOf(R"({"__metadata__":"pt"})", 0), "entry is a string"},
      {"ControlCharactersInName",
       FileOf("{" + Entry("\\n\\u001b[2J", "F32", "[3]", "[0,8]") + "}", 8), "\\x0a\\x1b[2J"},
  };
}

class HostileSafetensors : public ::testing::TestWithParam<HostileFile> {};

TEST_P(HostileSafetensors, IsRefusedWithFileAndReason) {
  const TemporaryDirectory directory;
  const auto path = directory.Put("model.safetensors", GetParam().bytes);
  const std::string message = OpenError(path);
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_THAT(message, HasSubstr(path.string()));
  EXPECT_THAT(message, HasSubstr("offset"));
}

INSTANTIATE_TEST_SUITE_P(Files, HostileSafetensors, ::testing::ValuesIn(HostileFiles()),
                         [](const auto& info) { return info.param.name; });

TEST(HostileCheckpoint, NamesTensorAndFileOffset) {
  const TemporaryDirectory directory;
  const std::string header = "{" + Entry("layer.0.weight", "F32", "[2]", "[0,4]") + "}";
  const auto path = directory.Put("m.safetensors", FileOf(header, 4));
  EXPECT_THAT(OpenError(path), HasSubstr("m.safetensors: tensor layer.0.weight: offset " +
                                         std::to_string(8 + header.size())));
}

TEST(HostileCheckpoint, AbsentFile) {
  const TemporaryDirectory directory;
  EXPECT_THAT(OpenError(directory / "none.safetensors"), HasSubstr("no such file"));
}

TEST(HostileCheckpoint, DirectoryInPlaceOfAFile) {
  const TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "model.safetensors");
  EXPECT_THAT(OpenError(directory.path() / "."), HasSubstr("is a directory"));
}

TEST(HostileCheckpoint, SymbolicLinkLoop) {
  const TemporaryDirectory directory;
  std::filesystem::create_symlink("model.safetensors", directory / "model.safetensors");
  EXPECT_THAT(OpenError(directory / "model.safetensors"), HasSubstr("circle"));
  EXPECT_THAT(OpenError(directory.path() / "."), HasSubstr("circle"));
}

TEST(HostileCheckpoint, MillionsOfMetadataEntries) {
  std::string header = "{\"__metadata__\":{";
  for (int i = 0; i <= 1'000'000; ++i) header += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
  const TemporaryDirectory directory;
  EXPECT_THAT(OpenError(directory.Put("m.safetensors", FileOf(header + "}}", 0))),
              HasSubstr("more than 1000000 entries"));
}

TEST(HostileCheckpoint, PipeDoesNotBlock) {
  const TemporaryDirectory directory;
  const auto path = directory / "m.safetensors";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(OpenError(path), HasSubstr("not a regular file"));
}

TEST(HostileCheckpoint, DirectoryWithoutSafetensors) {
  const TemporaryDirectory directory;
  directory.Put("training_args.bin", "x");
  EXPECT_THAT(OpenError(directory.path() / "."), HasSubstr("no model.safetensors"));
}

TEST(HostileCheckpoint, SeveralFilesWithoutIndex) {
  const TemporaryDirectory directory;
  directory.Put("a.safetensors", One("F32", "[2]", "[0,8]", 8));
  directory.Put("b.safetensors", One("F32", "[2]", "[0,8]", 8));
  EXPECT_THAT(OpenError(directory.path() / "."), HasSubstr("2 safetensors files but no index"));
}

// A sharded checkpoint with the tensors `w` in a.safetensors and `v` in b.safetensors.
class HostileIndex : public ::testing::Test {
 protected:
  HostileIndex() {
    directory_.Put("a.safetensors", One("F32", "[2]", "[0,8]", 8));
    directory_.Put("b.safetensors", FileOf("{" + Entry("v", "F32", "[2]", "[0,8]") + "}", 8));
  }
  std::string Message(const std::string& index) {
    directory_.Put("model.safetensors.index.json", index);
    return OpenError(directory_ / "model.safetensors.index.json");
  }
  TemporaryDirectory directory_;
};

TEST_F(HostileIndex, ShardMissing) {
  EXPECT_THAT(Message(R"({"weight_map":{"w":"a.safetensors","v":"c.safetensors"}})"),
              HasSubstr("1 of 2 shards missing, first 'c.safetensors'"));
}

TEST_F(HostileIndex, NamesATensorThatTheShardLacks) {
  EXPECT_THAT(
      Message(R"({"weight_map":{"w":"a.safetensors","v":"b.safetensors","x":"b.safetensors"}})"),
      HasSubstr("names a tensor that the shard lacks: "));
}

TEST_F(HostileIndex, TensorOfTheShardIsNotInIt) {
  EXPECT_THAT(Message(R"({"weight_map":{"x":"a.safetensors"}})"), HasSubstr("tensor w"));
  directory_.Put("c.safetensors", FileOf("{" + Entry("p", "U8", "[1]", "[0,1]") + "," +
                                             Entry("q", "U8", "[1]", "[1,2]") + "}",
                                         2));
  EXPECT_THAT(Message(R"({"weight_map":{"p":"c.safetensors"}})"), HasSubstr("not in the index"));
}

TEST_F(HostileIndex, LeavesTheDirectory) {
  for (const char* name : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", ""}) {
    EXPECT_THAT(Message(std::string(R"({"weight_map":{"w":")") + name + "\"}}"),
                HasSubstr("is not the name of a file in the same directory"))
        << name;
  }
}

TEST_F(HostileIndex, WrongTypes) {
  EXPECT_THAT(Message("[]"), HasSubstr("index is not an object"));
  EXPECT_THAT(Message("{}"), HasSubstr("no \"weight_map\""));
  EXPECT_THAT(Message(R"({"weight_map":[]})"), HasSubstr("not an object"));
  EXPECT_THAT(Message(R"({"weight_map":{}})"), HasSubstr("empty"));
  EXPECT_THAT(Message(R"({"weight_map":{"w":1}})"), HasSubstr("not a file name"));
  EXPECT_THAT(Message(R"({"weight_map":{"w":"a.safetensors"})"), HasSubstr(":1:"));
  EXPECT_THAT(Message(""), HasSubstr("not valid JSON"));
}

TEST_F(HostileIndex, KeyTwice) {
  EXPECT_THAT(Message(R"({"weight_map":{"w":"a.safetensors","w":"b.safetensors"}})"),
              HasSubstr("appears twice"));
}

TEST_F(HostileIndex, NestsTooDeep) {
  EXPECT_THAT(Message(std::string(100000, '[')), HasSubstr("nests more than 200 deep"));
}

TEST_F(HostileIndex, ShardIsDamaged) {
  directory_.Put("b.safetensors", "junk");
  EXPECT_THAT(Message(R"({"weight_map":{"w":"a.safetensors","v":"b.safetensors"}})"),
              HasSubstr("b.safetensors"));
}

TEST(RefuseQuantized, AsksToDequantise) {
  const TemporaryDirectory directory;
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    const auto path = directory.Put("m.safetensors", One(dtype, "[2]", "[0,2]", 2));
    const Checkpoint checkpoint = Checkpoint::Open(path);
    try {
      RefuseQuantized(checkpoint);
      ADD_FAILURE() << dtype;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kImpossible);
      EXPECT_THAT(error.what(), HasSubstr("dequantise"));
      EXPECT_THAT(error.what(), HasSubstr("tensor w"));
    }
  }
  const std::string packed = FileOf("{" + Entry("l.qweight", "I32", "[2]", "[0,8]") + "}", 8);
  EXPECT_THROW(RefuseQuantized(Checkpoint::Open(directory.Put("q.safetensors", packed))),
               ImpossibleError);
}

}  // namespace
}  // namespace orchard::io
