#include "data/image_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/csv.h"
#include "io/hdf5.h"
#include "io/printable.h"

namespace orchard::data {
namespace {

// A whole number of [0, most], also written like 12.0.
int64_t Number(const io::CsvTable& table, size_t row, size_t column, int64_t most,
               const char* what) {
  const std::string& text = table.rows[row][column];
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool whole = value >= 0 && value <= static_cast<double>(most) &&
                     value == static_cast<double>(static_cast<int64_t>(value));
  if (text.empty() || *end != '\0' || !whole) {
    throw DataError(fmt::format("{} is no {} of 0 to {}", io::Quoted(text), what, most),
                    fmt::format("{}:{}, column {}", table.where, table.lines[row], column + 1));
  }
  return static_cast<int64_t>(value);
}

bool IsNumber(const std::string& text) {
  double value = 0;
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
}

}  // namespace

ImageDataset ReadCsvImages(const std::filesystem::path& path, int64_t channels, int64_t height,
                           int64_t width) {
  constexpr int64_t kMostLabels = 1 << 20;
  const io::CsvTable table = io::ReadCsv(path, false);
  const int64_t pixels_of_image = channels * height * width;
  const size_t first = !table.rows.empty() && !IsNumber(table.rows[0][0]) ? 1 : 0;
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (size_t row = first; row < table.rows.size(); ++row) {
    if (std::ssize(table.rows[row]) != pixels_of_image + 1) {
      throw DataError(fmt::format("a row of {} numbers, where a label and {} pixels are expected",
                                  table.rows[row].size(), pixels_of_image),
                      fmt::format("{}:{}", table.where, table.lines[row]),
                      "give the size of the images with --shape C,H,W");
    }
    labels.push_back(static_cast<int32_t>(Number(table, row, 0, kMostLabels, "label")));
    for (int64_t i = 0; i < pixels_of_image; ++i) {
      pixels.push_back(
          static_cast<uint8_t>(Number(table, row, static_cast<size_t>(i + 1), 255, "pixel")));
    }
  }
  if (labels.empty()) throw DataError("there are no rows", path.string());
  return ImageDataset(channels, height, width, std::move(pixels), std::move(labels));
}

void WriteImages(const std::filesystem::path& path, const ImageDataset& images) {
  constexpr int64_t kRows = 1000;  // at a time
  const std::vector<int64_t> shape = {0, images.channels(), images.height(), images.width()};
  io::Hdf5File file = io::Hdf5File::Create(path);
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) labels.push_back(images.Label(i));
  file.Write<int32_t>("labels", labels, {images.size()});
  for (int64_t begin = 0; begin < images.size(); begin += kRows) {
    std::vector<uint8_t> pixels;
    const int64_t end = std::min(begin + kRows, images.size());
    for (int64_t i = begin; i < end; ++i) {
      const auto image = images.Image(i);
      pixels.insert(pixels.end(), image.begin(), image.end());
    }
    if (begin == 0) {
      std::vector<int64_t> first = shape;
      first[0] = end;
      file.Write<uint8_t>("images", pixels, first, {}, true);
    } else {
      file.Append<uint8_t>("images", pixels);
    }
  }
  file.SetAttribute("/", "classes", int64_t{images.classes()});
  file.Finish();
}

}  // namespace orchard::data
