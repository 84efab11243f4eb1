// Pictures in memory, and their files (PNG, JPEG, BMP, TIFF, WebP, PNM: what OpenCV was built
// with).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace orchard::io {

// [height, width, channels] row-major, channels RGB, RGBA or grey. 8 bits: 0..255. Float: 0..1
// unless said otherwise.
template <class T>
struct ImageOf {
  int64_t height = 0, width = 0, channels = 0;
  std::vector<T> pixels;

  T& At(int64_t y, int64_t x, int64_t c) {
    return pixels[static_cast<size_t>((y * width + x) * channels + c)];
  }
  const T& At(int64_t y, int64_t x, int64_t c) const {
    return pixels[static_cast<size_t>((y * width + x) * channels + c)];
  }
};
using Image = ImageOf<uint8_t>;
using FloatImage = ImageOf<float>;

enum class Color { kGrey, kRgb };
enum class Interpolation { kNearest, kBilinear, kBicubic, kArea };

// Decodes; `where` names the source in errors. Deeper pictures become 8 bits, transparency is
// dropped. Throws DataError: not a picture, damaged, or more than 2^28 pixels.
Image DecodeImage(std::span<const std::byte> bytes, Color color, const std::string& where);
Image ReadImage(const std::filesystem::path& path, Color color);

// Encodes in the format of a file extension (".png", ".jpg"). Throws DataError when there is no
// such format.
std::vector<std::byte> EncodeImage(const Image& image, const std::string& extension);

// Writes beside the name and renames. Throws ResourceError.
void WriteImage(const std::filesystem::path& path, const Image& image);

// OpenCV's geometry: pixel centres at half-integers, no antialiasing but for kArea.
Image Resize(const Image& image, int64_t height, int64_t width, Interpolation interpolation);
FloatImage Resize(const FloatImage& image, int64_t height, int64_t width,
                  Interpolation interpolation);

// 0..255 to 0..1.
FloatImage ToFloat(const Image& image);

}  // namespace orchard::io
