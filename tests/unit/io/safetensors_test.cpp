#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/resource.h>

#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "unit/io/safetensors_bytes.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

TensorInfo Tensor(const std::string& name, DType dtype, std::vector<int64_t> shape) {
  return {.name = name, .dtype = dtype, .shape = std::move(shape)};
}

Bytes RandomBytes(size_t count, uint64_t seed) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(PhiloxAt(PhiloxKey(seed, 1), i).word[0]);
  }
  return bytes;
}

// Writes every tensor of the layout with bytes drawn from its place in the list.
void WriteRandom(const std::filesystem::path& path, const SafetensorsLayout& layout) {
  SafetensorsWriter writer(path, layout);
  for (size_t i = 0; i < layout.tensors().size(); ++i) {
    const TensorInfo& tensor = layout.tensors()[i];
    writer.Write(tensor, 0, RandomBytes(tensor.end - tensor.begin, i));
  }
  writer.Finish(false);
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

RC_GTEST_PROP(Safetensors, ReadsBackWhatWasWritten, ()) {
  const TemporaryDirectory directory;
  const auto names = *rc::gen::unique<std::vector<std::string>>(rc::gen::string<std::string>());
  std::vector<TensorInfo> tensors;
  for (const std::string& name : names) {
    std::string ascii;
    for (char c : name) ascii += static_cast<char>(c & 0x7F);
    const auto dtype = static_cast<DType>(*rc::gen::inRange(0, static_cast<int>(DType::kF64) + 1));
    const auto shape = *rc::gen::container<std::vector<int64_t>>(rc::gen::inRange<int64_t>(0, 6));
    if (shape.size() > 6) continue;
    tensors.push_back(Tensor(ascii + std::to_string(tensors.size()), dtype, shape));
  }
  const std::map<std::string, std::string> metadata = {{"quote\"", "line\nbreak"}};
  const SafetensorsLayout layout(tensors, metadata);
  WriteRandom(directory / "m.safetensors", layout);

  const Checkpoint checkpoint = Checkpoint::Open(directory / "m.safetensors");
  RC_ASSERT(checkpoint.tensors().size() == tensors.size());
  RC_ASSERT(checkpoint.metadata().at("quote\"") == "line\nbreak");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& read = checkpoint.tensors()[i];
    const TensorInfo& written = layout.tensors()[i];
    RC_ASSERT(read.name == written.name);
    RC_ASSERT(read.dtype == written.dtype);
    RC_ASSERT(read.shape == written.shape);
    RC_ASSERT(read.begin == written.begin);
    RC_ASSERT(read.begin % static_cast<uint64_t>(ByteSize(read.dtype)) == 0u);
    const auto bytes = checkpoint.Bytes(read);
    RC_ASSERT(Bytes(bytes.begin(), bytes.end()) == RandomBytes(read.end - read.begin, i));
  }
}

TEST(SafetensorsLayout, HeaderIsPaddedAndOrderedByName) {
  const SafetensorsLayout layout({Tensor("b", DType::kF32, {2, 3}), Tensor("a", DType::kF32, {})});
  EXPECT_EQ(layout.header().size() % 8, 0u);
  EXPECT_THAT(
      layout.header().substr(8),
      HasSubstr("{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[],"
                "\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":"
                "[4,28]}}"));
  EXPECT_EQ(layout.file_size(), layout.header().size() + 28);
}

TEST(SafetensorsLayout, WideElementsComeFirstSoThatAllAreAligned) {
  const SafetensorsLayout layout({Tensor("a", DType::kBool, {3}), Tensor("b", DType::kF64, {1}),
                                  Tensor("c", DType::kBF16, {1})});
  const auto& t = layout.tensors();
  EXPECT_LT(t[1].begin, t[2].begin);
  EXPECT_LT(t[2].begin, t[0].begin);
}

TEST(SafetensorsLayout, RefusesWhatTheFormatCannotHold) {
  EXPECT_THROW(SafetensorsLayout({Tensor("a", DType::kF32, {}), Tensor("a", DType::kF32, {})}),
               Error);
  EXPECT_THROW(SafetensorsLayout({Tensor("__metadata__", DType::kF32, {})}), Error);
  EXPECT_THROW(SafetensorsLayout({Tensor("a", DType::kF32, {-1})}), Error);
  EXPECT_THROW(SafetensorsLayout({Tensor("a", DType::kF32, {1ll << 40, 1ll << 40})}), Error);
}

TEST(SafetensorsWriter, ThreadsInAnyOrderGiveTheSameFile) {
  const TemporaryDirectory directory;
  const SafetensorsLayout layout(
      {Tensor("a", DType::kF32, {1000}), Tensor("b", DType::kF32, {3000})});
  WriteRandom(directory / "one.safetensors", layout);
  {
    SafetensorsWriter writer(directory / "many.safetensors", layout);
    std::vector<std::thread> threads;
    for (uint64_t part = 0; part < 8; ++part) {
      threads.emplace_back([&, part] {
        for (size_t i : {1, 0}) {
          const TensorInfo& tensor = layout.tensors()[i];
          const uint64_t size = (tensor.end - tensor.begin) / 8, offset = (7 - part) * size;
          const Bytes bytes = RandomBytes(tensor.end - tensor.begin, i);
          writer.Write(tensor, offset, std::span(bytes).subspan(offset, size));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    writer.Finish();
  }
  EXPECT_EQ(ReadFile(directory / "one.safetensors"), ReadFile(directory / "many.safetensors"));
}

TEST(SafetensorsWriter, LeavesNothingWithoutFinish) {
  const TemporaryDirectory directory;
  {
    const SafetensorsWriter writer(directory / "m.safetensors",
                                   SafetensorsLayout({Tensor("a", DType::kF32, {4})}));
    EXPECT_TRUE(std::filesystem::exists(directory / "m.safetensors.partial"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsWriter, RefusesToFinishWithBytesMissing) {
  const TemporaryDirectory directory;
  {
    SafetensorsWriter writer(directory / "m.safetensors",
                             SafetensorsLayout({Tensor("a", DType::kF32, {4})}));
    writer.Write(writer.layout().tensors()[0], 0, RandomBytes(12, 1));
    EXPECT_THROW(writer.Finish(), Error);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(SafetensorsWriter, RefusesToWriteBeyondATensor) {
  const TemporaryDirectory directory;
  SafetensorsWriter writer(
      directory / "m.safetensors",
      SafetensorsLayout({Tensor("a", DType::kF32, {4}), Tensor("b", DType::kF32, {4})}));
  EXPECT_THROW(writer.Write(writer.layout().tensors()[0], 8, RandomBytes(12, 1)), Error);
  EXPECT_THROW(writer.Write(writer.layout().tensors()[0], ~0ull, RandomBytes(2, 1)), Error);
  EXPECT_THROW(writer.Write(Tensor("c", DType::kF32, {4}), 0, RandomBytes(2, 1)), Error);
}

// A resource error that names the file, and an empty directory after it.
void ExpectNoSpace(const std::filesystem::path& path, const SafetensorsLayout& layout) {
  try {
    SafetensorsWriter(path, layout);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kResource);
    EXPECT_THAT(error.what(), HasSubstr("needed"));
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
  }
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".partial"));
}

TEST(SafetensorsWriter, KnowsBeforeAnyWorkThatTheDiskIsTooSmall) {
  const TemporaryDirectory directory;
  ExpectNoSpace(directory / "m.safetensors",
                SafetensorsLayout({Tensor("a", DType::kU8, {1ll << 42, 1 << 10})}));
  ExpectNoSpace(directory / "m.safetensors",
                SafetensorsLayout({Tensor("a", DType::kU8, {1ll << 48, 1 << 10})}));
}

TEST(SafetensorsWriter, SurvivesTheLimitOnFileSize) {
  const TemporaryDirectory directory;
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  ExpectNoSpace(directory / "m.safetensors", SafetensorsLayout({Tensor("a", DType::kU8, {8192})}));
  ::setrlimit(RLIMIT_FSIZE, &before);
}

TEST(SafetensorsWriter, SaysThatTheDirectoryIsMissing) {
  const TemporaryDirectory directory;
  EXPECT_THROW(SafetensorsWriter(directory / "no/m.safetensors",
                                 SafetensorsLayout({Tensor("a", DType::kU8, {1})})),
               ResourceError);
}

TEST(Checkpoint, ReadsShardsThroughTheirIndex) {
  const TemporaryDirectory directory;
  WriteRandom(directory / "model-00001-of-00002.safetensors",
              SafetensorsLayout({Tensor("b", DType::kF32, {3})}));
  WriteRandom(directory / "model-00002-of-00002.safetensors",
              SafetensorsLayout({Tensor("a", DType::kF32, {2}), Tensor("c", DType::kF32, {1})}));
  WriteSafetensorsIndex(directory / "model.safetensors.index.json",
                        {{"a", "model-00002-of-00002.safetensors"},
                         {"b", "model-00001-of-00002.safetensors"},
                         {"c", "model-00002-of-00002.safetensors"}},
                        24);
  const Checkpoint checkpoint = Checkpoint::Open(directory.path());
  ASSERT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");
  EXPECT_EQ(checkpoint.tensors()[0].file, 1);
  EXPECT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.Where(checkpoint.Get("b")),
            (directory / "model-00001-of-00002.safetensors").string() + ": tensor b");
  const auto c = checkpoint.Bytes(checkpoint.Get("c"));
  EXPECT_EQ(Bytes(c.begin(), c.end()), RandomBytes(4, 1));
}

TEST(Checkpoint, OpensTheOnlySafetensorsFileOfADirectory) {
  const TemporaryDirectory directory;
  WriteRandom(directory / "deit.safetensors", SafetensorsLayout({Tensor("b", DType::kF32, {3})}));
  EXPECT_NE(Checkpoint::Open(directory.path()).Find("b"), nullptr);
}

TEST(Checkpoint, AddsTheTensorsOfAnotherFile) {
  const TemporaryDirectory directory;
  WriteRandom(directory / "a", SafetensorsLayout({Tensor("b", DType::kU8, {3})}));
  WriteRandom(directory / "b",
              SafetensorsLayout({Tensor("a", DType::kF32, {2}), Tensor("c", DType::kU8, {5})}));
  const Checkpoint other = Checkpoint::Open(directory / "b");
  Checkpoint both = Checkpoint::Open(directory / "a");
  both.Add(directory / "b");
  ASSERT_EQ(both.tensors().size(), 3u);
  EXPECT_EQ(both.tensors()[0].name, "a");
  for (const char* name : {"a", "c"}) {
    const auto added = both.Bytes(both.Get(name)), alone = other.Bytes(other.Get(name));
    EXPECT_TRUE(std::equal(added.begin(), added.end(), alone.begin(), alone.end())) << name;
  }
  EXPECT_EQ(both.Bytes(both.Get("b")).size(), 3u);
  EXPECT_THROW(both.Add(directory / "a"), DataError);  // "b" is there
}

TEST(Checkpoint, NamesTheNearestTensor) {
  const TemporaryDirectory directory;
  WriteRandom(directory / "m.safetensors",
              SafetensorsLayout({Tensor("bert.encoder.0.weight", DType::kF32, {3}),
                                 Tensor("pooler", DType::kF32, {3})}));
  const Checkpoint checkpoint = Checkpoint::Open(directory / "m.safetensors");
  EXPECT_EQ(checkpoint.Find("encoder.0.weight"), nullptr);
  try {
    checkpoint.Get("encoder.0.weight");
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("nearest name 'bert.encoder.0.weight'"));
  }
}

TEST(Checkpoint, AlignsTensorsThatTheFileDoesNot) {
  const TemporaryDirectory directory;
  // 83 bytes of header: every element of F32 is misaligned.
  std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  while (header.size() % 4 != 3) header += ' ';
  const float values[2] = {1.5f, -2.25f};
  const std::string data(reinterpret_cast<const char*>(values), sizeof values);
  const auto path = directory.Put("m.safetensors", LittleEndian64(header.size()) + header + data);
  const Checkpoint checkpoint = Checkpoint::Open(path);
  const auto bytes = checkpoint.Bytes(checkpoint.tensors()[0]);
  ASSERT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % alignof(float), 0u);
  EXPECT_EQ(reinterpret_cast<const float*>(bytes.data())[1], -2.25f);
  EXPECT_EQ(checkpoint.Bytes(checkpoint.tensors()[0]).data(), bytes.data());
  float second = 0;
  checkpoint.Copy(checkpoint.tensors()[0], 4, std::as_writable_bytes(std::span(&second, 1)));
  EXPECT_EQ(second, -2.25f);
}

TEST(Checkpoint, ReleasedBytesCanBeReadAgain) {
  const TemporaryDirectory directory;
  const SafetensorsLayout layout(
      {Tensor("a", DType::kF32, {100000}), Tensor("b", DType::kF32, {5})});
  WriteRandom(directory / "m.safetensors", layout);
  const Checkpoint checkpoint = Checkpoint::Open(directory / "m.safetensors");
  const TensorInfo& a = checkpoint.Get("a");
  checkpoint.Prefetch(a, 0, 400000);
  const auto bytes = checkpoint.Bytes(a);
  const Bytes before(bytes.begin(), bytes.end());
  checkpoint.Release(a, 0, 400000);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), before);
  checkpoint.Release(a, 10, 20);
  checkpoint.Release(checkpoint.Get("b"), 0, 1u << 20);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), RandomBytes(400000, 0));
}

}  // namespace
}  // namespace orchard::io
