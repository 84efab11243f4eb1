#include "data/cifar.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/error.h"

namespace orchard::data {
namespace {

std::filesystem::path Write(const std::string& name, const std::string& bytes) {
  const std::filesystem::path path = testing::TempDir() + "/" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

std::string Record(const std::string& labels, char pixel) {
  return labels + std::string(3071, pixel) + '\x7F';
}

TEST(Cifar, TakesTheFineLabelAndPlanarPixels) {
  const std::filesystem::path ten[] = {Write("ten.bin", Record("\x03", 1) + Record("\x09", 2))};
  const ImageDataset a = ReadCifar(ten, 10);
  EXPECT_EQ(a.size(), 2);
  EXPECT_EQ(a.Label(1), 9);
  EXPECT_EQ(a.Image(1)[0], 2);
  EXPECT_EQ(a.Image(1)[3071], 0x7F);
  const std::filesystem::path hundred[] = {Write("hundred.bin", Record("\x01\x63", 1))};
  const ImageDataset b = ReadCifar(hundred, 100);
  EXPECT_EQ(b.Label(0), 99);
  EXPECT_EQ(b.classes(), 100);
}

TEST(Cifar, NamesFileRecordAndOffsetOfDamage) {
  const auto message = [](const std::string& bytes) -> std::string {
    const std::filesystem::path files[] = {Write("bad.bin", bytes)};
    try {
      ReadCifar(files, 10);
    } catch (const DataError& e) {
      return e.what();
    }
    return "";
  };
  const std::string cut = message(Record("\x03", 1) + "\x04zzz");
  EXPECT_NE(cut.find("bad.bin: record 1, offset 3073"), std::string::npos) << cut;
  const std::string label = message(Record("\x0A", 1));
  EXPECT_NE(label.find("label 10"), std::string::npos) << label;
}

}  // namespace
}  // namespace orchard::data
