#include "data/cifar.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "io/mapped_file.h"

namespace orchard::data {

ImageDataset ReadCifar(std::span<const std::filesystem::path> files, int32_t classes) {
  constexpr size_t kSide = 32, kPixels = 3 * kSide * kSide;
  const size_t label_bytes = classes == 100 ? 2 : 1, record = label_bytes + kPixels;
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (const std::filesystem::path& path : files) {
    const io::MappedFile file(path);
    const std::span<const std::byte> bytes = file.bytes();
    for (size_t at = 0; at < bytes.size(); at += record) {
      const auto where = [&] {
        return fmt::format("{}: record {}, offset {}", path.string(), at / record, at);
      };
      if (bytes.size() - at < record) throw DataError("the last record is cut short", where());
      const auto label = static_cast<int32_t>(bytes[at + label_bytes - 1]);
      if (label >= classes) {
        throw DataError(fmt::format("label {} lies outside the {} classes", label, classes),
                        where());
      }
      labels.push_back(label);
      for (const std::byte b : bytes.subspan(at + label_bytes, kPixels)) {
        pixels.push_back(static_cast<uint8_t>(b));
      }
    }
  }
  return ImageDataset(3, kSide, kSide, std::move(pixels), std::move(labels), classes);
}

}  // namespace orchard::data
