// PyTorch checkpoints made by hand, byte for byte as torch.save lays them out; tests/oracle reads
// ones that PyTorch wrote.
#include "io/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

using ::testing::HasSubstr;

std::string Little(uint64_t value, int width) {
  std::string bytes;
  for (int i = 0; i < width; ++i) bytes += i < 8 ? static_cast<char>(value >> 8 * i & 0xFF) : '\0';
  return bytes;
}

// A zip archive of stored entries.
std::string Zip(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string local, central;
  for (const auto& [name, data] : entries) {
    const std::string sizes =
        Little(0, 4) + Little(data.size(), 4) + Little(data.size(), 4) + Little(name.size(), 2);
    central += "PK\1\2" + Little(20, 2) + Little(20, 2) + Little(0, 8) + sizes + Little(0, 12) +
               Little(local.size(), 4) + name;
    local += "PK\3\4" + Little(20, 2) + Little(0, 8) + sizes + Little(0, 2) + name + data;
  }
  return local + central + "PK\5\6" + Little(0, 4) + Little(entries.size(), 2) +
         Little(entries.size(), 2) + Little(central.size(), 4) + Little(local.size(), 4) +
         Little(0, 2);
}

// --- pickle, protocol 2 ---
std::string Text(const std::string& text) { return "X" + Little(text.size(), 4) + text; }
std::string Integer(int32_t value) { return "J" + Little(static_cast<uint32_t>(value), 4); }
std::string Tuple(const std::vector<std::string>& items) {
  std::string code = "(";
  for (const std::string& item : items) code += item;
  return code + "t";
}
std::string Integers(const std::vector<int>& values) {
  std::vector<std::string> items;
  for (int v : values) items.push_back(Integer(v));
  return Tuple(items);
}
const std::string kEmptyOrderedDict = "ccollections\nOrderedDict\n)R";
std::string Storage(const std::string& type, const std::string& key, int elements) {
  return Tuple({Text("storage"), "ctorch\n" + type + "\n", Text(key), Text("cpu"),
                Integer(elements)}) +
         "Q";
}
std::string Tensor(const std::string& storage, int offset, const std::vector<int>& shape,
                   const std::vector<int>& stride) {
  return "ctorch._utils\n_rebuild_tensor_v2\n" +
         Tuple({storage, Integer(offset), Integers(shape), Integers(stride), "\x89",
                kEmptyOrderedDict}) +
         "R";
}
std::string StateDict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string code = kEmptyOrderedDict + "(";
  for (const auto& [name, value] : items) code += Text(name) + value;
  return code + "u";
}
std::string Protocol2(const std::string& code) { return "\x80\x02" + code + "."; }

std::string Floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// A checkpoint whose one storage holds 0 .. 5 as floats.
std::string File(const std::string& code) {
  return Zip({{"archive/data.pkl", Protocol2(code)},
              {"archive/byteorder", "little"},
              {"archive/data/0", Floats({0, 1, 2, 3, 4, 5})}});
}

std::vector<TensorInfo> Parse(const std::string& file) {
  return ParseTorchFile(std::as_bytes(std::span(file)), "model.pth");
}

std::string ErrorOf(const std::string& file, ExitCode code = ExitCode::kData) {
  try {
    Parse(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), HasSubstr("model.pth"));
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(TorchFile, StateDictOpensAsACheckpoint) {
  const TemporaryDirectory directory;
  const std::string w = Tensor(Storage("FloatStorage", "0", 6), 2, {2, 2}, {2, 1});
  const std::string b = Tensor(Storage("FloatStorage", "0", 6), 0, {2}, {1});
  directory.Put("pytorch_model.bin", File(StateDict({{"w", w}, {"b", b}})));
  const Checkpoint checkpoint = Checkpoint::Open(directory.path());
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "b");
  const TensorInfo& info = checkpoint.Get("w");
  EXPECT_EQ(info.dtype, DType::kF32);
  EXPECT_EQ(info.shape, (std::vector<int64_t>{2, 2}));
  float values[4];
  checkpoint.Copy(info, 0, std::as_writable_bytes(std::span(values)));
  EXPECT_THAT(values, ::testing::ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(checkpoint.Bytes(info).data()) % 4, 0u);
}

TEST(TorchFile, TiedTensorsShareTheirBytes) {
  // The second use recalls the first from the memo, as Python does.
  const std::string first = Tensor(Storage("FloatStorage", "0", 6), 0, {6}, {1}) + "q\x07";
  const auto tensors = Parse(File(StateDict({{"embed", first}, {"head", "h\x07"}})));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].begin, tensors[1].begin);
}

TEST(TorchFile, FindsTheInnerDictOfATrainingCheckpoint) {
  const std::string inner =
      StateDict({{"w", Tensor(Storage("FloatStorage", "0", 6), 0, {6}, {1})}});
  const auto tensors = Parse(File("}(" + Text("epoch") + "K\x03" + Text("loss") + "G" +
                                  std::string(8, '\0') + Text("model") + inner + "u"));
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "w");
}

TEST(TorchFile, ParametersAndAttributesOfTheDictAreUnderstood) {
  const std::string parameter =
      "ctorch._utils\n_rebuild_parameter\n" +
      Tuple({Tensor(Storage("FloatStorage", "0", 6), 0, {6}, {1}), "\x88", kEmptyOrderedDict}) +
      "R";
  const std::string metadata = "}" + Text("_metadata") + kEmptyOrderedDict + "sb";  // BUILD
  EXPECT_EQ(Parse(File(StateDict({{"w", parameter}}) + metadata)).size(), 1u);
}

TEST(TorchFile, LargeStoragesUseLongIntegers) {
  // A count of 2^33 in five bytes is read as such, and then found to be a lie.
  const std::string count = std::string("\x8a\x05") + Little(1ull << 33, 5);
  const std::string storage =
      Tuple({Text("storage"), "ctorch\nFloatStorage\n", Text("0"), Text("cpu"), count}) + "Q";
  EXPECT_EQ(Parse(File(StateDict({{"w", Tensor(storage, 0, {6}, {1})}}))).size(), 1u);
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", Tensor(storage, 0, {7}, {1})}}))),
              HasSubstr("beyond its storage"));
}

TEST(TorchFile, NoCodeIsRun) {
  const TemporaryDirectory directory;
  const std::string victim = directory / "victim";
  const std::string attack = "cos\nsystem\n" + Tuple({Text("touch " + victim)}) + "R";
  EXPECT_THAT(ErrorOf(File(attack)), HasSubstr("'os.system'"));
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", attack}}))), HasSubstr("'os.system'"));
  EXPECT_THAT(ErrorOf(File("cbuiltins\neval\n" + Tuple({Text("1")}) + "R")),
              HasSubstr("'builtins.eval'"));
  EXPECT_THAT(ErrorOf(File("cposix\nsystem\n)\x81")), HasSubstr("'posix.system'"));  // NEWOBJ
  EXPECT_THAT(ErrorOf(File("\x8c\x02os\x8c\x06system\x93" + Tuple({Text("1")}) + "R")),
              HasSubstr("'os.system'"));                            // STACK_GLOBAL
  EXPECT_THAT(ErrorOf(File("(ios\nsystem\n")), HasSubstr("0x69"));  // INST
  EXPECT_THAT(ErrorOf(File(Text("x") + Tuple({}) + "R")), HasSubstr("no function"));
  EXPECT_FALSE(std::filesystem::exists(victim));
}

TEST(TorchFile, PickleThatIsDamagedIsRefused) {
  EXPECT_THAT(ErrorOf(Zip({{"a/data.pkl", ""}})), HasSubstr("cut short"));
  EXPECT_THAT(ErrorOf(Zip({{"a/data.pkl", "hello"}})), HasSubstr("not a pickle"));
  EXPECT_THAT(ErrorOf(Zip({{"a/data.pkl", "\x80\x02"}})), HasSubstr("cut short"));
  EXPECT_THAT(ErrorOf(File("")), HasSubstr("empty stack"));
  EXPECT_THAT(ErrorOf(File("t")), HasSubstr("no mark"));
  EXPECT_THAT(ErrorOf(File("}(" + Text("a") + "u")), HasSubstr("key without a value"));
  EXPECT_THAT(ErrorOf(File("](K\1K\2u")), HasSubstr("no container"));
  EXPECT_THAT(ErrorOf(File("(s")), HasSubstr("empty stack"));
  EXPECT_THAT(ErrorOf(File("h\x09")), HasSubstr("never kept"));
  EXPECT_THAT(ErrorOf(File("X\xff\xff\xff\xff")), HasSubstr("cut short"));
  EXPECT_THAT(ErrorOf(File("\x8a\xff")), HasSubstr("64 bits"));
  EXPECT_THAT(ErrorOf(File("K\x01")), HasSubstr("not a dict"));
  EXPECT_THAT(ErrorOf(File("}")), HasSubstr("no dict of tensors"));
  EXPECT_THAT(ErrorOf(File("K\x01Q")), HasSubstr("storage tuple"));
  EXPECT_THAT(ErrorOf(File("}q\x01h\x01h\x01s")), HasSubstr("no dict of tensors"));  // holds itself
}

TEST(TorchFile, TensorsMustLieInTheirStorage) {
  const std::string storage = Storage("FloatStorage", "0", 6);
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", Tensor(storage, 1, {6}, {1})}}))),
              HasSubstr("beyond its storage: model.pth: tensor w"));
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", Tensor(storage, -1, {6}, {1})}}))),
              HasSubstr("beyond its storage"));
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", Tensor(storage, 0, {-6}, {1})}}))),
              HasSubstr("not possible"));
  EXPECT_THAT(
      ErrorOf(File(StateDict({{"w", Tensor(storage, 0, {1 << 30, 1 << 30, 1 << 30}, {1, 1, 1})}}))),
      HasSubstr("not possible"));
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", Tensor(storage, 0, {6}, {1, 1})}}))),
              HasSubstr("strides do not fit"));
  EXPECT_THAT(
      ErrorOf(File(StateDict({{"w", Tensor(Storage("DoubleStorage", "0", 6), 0, {6}, {1})}}))),
      HasSubstr("beyond its storage"));
  EXPECT_THAT(
      ErrorOf(File(StateDict({{"w", Tensor(Storage("FloatStorage", "9", 6), 0, {6}, {1})}}))),
      HasSubstr("lacks 'archive/data/9'"));
  EXPECT_THAT(
      ErrorOf(File(StateDict({{"w", Tensor(Storage("QInt8Storage", "0", 6), 0, {6}, {1})}}))),
      HasSubstr("torch.QInt8Storage"));
}

TEST(TorchFile, TransposedViewsAreRefused) {
  const std::string view = Tensor(Storage("FloatStorage", "0", 6), 0, {2, 3}, {1, 2});
  EXPECT_THAT(ErrorOf(File(StateDict({{"w", view}})), ExitCode::kImpossible),
              HasSubstr("contiguous"));
  EXPECT_EQ(
      Parse(File(StateDict({{"w", Tensor(Storage("FloatStorage", "0", 6), 0, {6, 1}, {1, 99})}})))
          .size(),
      1u);
}

TEST(TorchFile, ArchiveThatIsDamagedIsRefused) {
  const std::string good =
      File(StateDict({{"w", Tensor(Storage("FloatStorage", "0", 6), 0, {6}, {1})}}));
  EXPECT_EQ(Parse(good).size(), 1u);
  EXPECT_THAT(ErrorOf(good.substr(0, good.size() - 30)), HasSubstr("cut short"));
  EXPECT_THAT(ErrorOf(Zip({{"readme.txt", "x"}})), HasSubstr("no data.pkl"));
  EXPECT_THAT(ErrorOf(Zip({{"a/data.pkl", "x"}, {"a/data.pkl", "y"}})), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf(std::string("\x80\x02\x8a\x0a", 4) + "lost"), HasSubstr("before 1.6"));
  EXPECT_THAT(ErrorOf(Zip({{"a/data.pkl", Protocol2("}")}, {"a/byteorder", "big"}})),
              HasSubstr("big-endian"));
}

// Every byte of a good file changed: whatever happens, it is a DataError or ImpossibleError or a
// checkpoint inside its bounds.
TEST(TorchFile, AnyDamagedByteIsHarmless) {
  const std::string good =
      File(StateDict({{"w", Tensor(Storage("FloatStorage", "0", 6), 0, {6}, {1})}}));
  for (size_t i = 0; i < good.size(); ++i) {
    for (int change : {0x01, 0x80, 0xFF}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      if (!IsTorchFile(std::as_bytes(std::span(bad)))) continue;
      try {
        for (const TensorInfo& tensor : Parse(bad)) {
          ASSERT_LE(tensor.begin, tensor.end);
          ASSERT_LE(tensor.end, bad.size());
        }
      } catch (const Error& error) {
        ASSERT_NE(error.code(), ExitCode::kInternal) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace orchard::io
