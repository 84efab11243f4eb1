#include "io/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/mapped_file.h"

namespace orchard::io {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;

template <class T>
int MatType(const ImageOf<T>& image) {
  return CV_MAKETYPE(sizeof(T) == 1 ? CV_8U : CV_32F, static_cast<int>(image.channels));
}

// A view: OpenCV's Mat has no const, so the caller must not write.
template <class T>
cv::Mat View(const ImageOf<T>& image) {
  if (image.channels < 1 || image.channels > 4 || image.height < 1 || image.width < 1 ||
      static_cast<int64_t>(image.pixels.size()) != image.height * image.width * image.channels) {
    throw Error(ExitCode::kInternal,
                fmt::format("image of {} x {} x {} with {} values", image.height, image.width,
                            image.channels, image.pixels.size()));
  }
  return {static_cast<int>(image.height), static_cast<int>(image.width), MatType(image),
          const_cast<T*>(image.pixels.data())};
}

template <class T>
ImageOf<T> FromMat(const cv::Mat& mat) {
  ImageOf<T> image{mat.rows, mat.cols, mat.channels(), {}};
  const size_t row = static_cast<size_t>(mat.cols) * static_cast<size_t>(mat.channels());
  image.pixels.resize(row * static_cast<size_t>(mat.rows));
  for (int y = 0; y < mat.rows; ++y)
    std::memcpy(image.pixels.data() + row * static_cast<size_t>(y), mat.ptr(y), row * sizeof(T));
  return image;
}

template <class T>
ImageOf<T> ResizeAny(const ImageOf<T>& image, int64_t height, int64_t width,
                     Interpolation interpolation) {
  static constexpr int kModes[] = {cv::INTER_NEAREST, cv::INTER_LINEAR, cv::INTER_CUBIC,
                                   cv::INTER_AREA};
  if (height < 1 || width < 1 || height > kMaxPixels / width) {
    throw Error(ExitCode::kInternal, fmt::format("cannot resize to {} x {}", height, width));
  }
  ImageOf<T> out{height, width, image.channels,
                 std::vector<T>(static_cast<size_t>(height * width * image.channels))};
  cv::Mat target = View(out);
  cv::resize(View(image), target, target.size(), 0, 0, kModes[static_cast<int>(interpolation)]);
  return out;
}

}  // namespace

Image DecodeImage(std::span<const std::byte> bytes, Color color, const std::string& where) {
  if (bytes.empty() || bytes.size() > static_cast<size_t>(INT32_MAX))
    throw DataError("not a picture", where);
  // OpenCV reports what it finds by logging, and gives an empty matrix.
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  cv::Mat decoded;
  try {
    const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8U,
                      const_cast<std::byte*>(bytes.data()));
    decoded = cv::imdecode(raw, color == Color::kGrey ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR);
  } catch (const cv::Exception& error) {
    throw DataError("picture cannot be decoded (" + error.err + ")", where);
  }
  if (decoded.empty()) throw DataError("not a picture, or a damaged one", where);
  if (static_cast<int64_t>(decoded.total()) > kMaxPixels)
    throw DataError("picture has more than 2^28 pixels", where);
  if (color == Color::kRgb) cv::cvtColor(decoded, decoded, cv::COLOR_BGR2RGB);
  return FromMat<uint8_t>(decoded);
}

Image ReadImage(const std::filesystem::path& path, Color color) {
  return DecodeImage(MappedFile(path).bytes(), color, path.string());
}

std::vector<std::byte> EncodeImage(const Image& image, const std::string& extension) {
  cv::Mat mat = View(image).clone();
  if (image.channels == 3) cv::cvtColor(mat, mat, cv::COLOR_RGB2BGR);
  if (image.channels == 4) cv::cvtColor(mat, mat, cv::COLOR_RGBA2BGRA);
  std::vector<uint8_t> encoded;
  try {
    if (!cv::imencode(extension, mat, encoded))
      throw DataError("picture cannot be encoded", extension);
  } catch (const cv::Exception& error) {
    throw DataError("no picture format of this name", extension, "use .png or .jpg");
  }
  const auto* data = reinterpret_cast<const std::byte*>(encoded.data());
  return {data, data + encoded.size()};
}

void WriteImage(const std::filesystem::path& path, const Image& image) {
  const std::vector<std::byte> bytes = EncodeImage(image, path.extension().string());
  AtomicFile file(path, bytes.size());
  file.Write(bytes);
  file.Commit(false);
}

Image Resize(const Image& image, int64_t height, int64_t width, Interpolation interpolation) {
  return ResizeAny(image, height, width, interpolation);
}

FloatImage Resize(const FloatImage& image, int64_t height, int64_t width,
                  Interpolation interpolation) {
  return ResizeAny(image, height, width, interpolation);
}

FloatImage ToFloat(const Image& image) {
  FloatImage out{image.height, image.width, image.channels,
                 std::vector<float>(image.pixels.size())};
  std::transform(image.pixels.begin(), image.pixels.end(), out.pixels.begin(),
                 [](uint8_t v) { return static_cast<float>(v) / 255.0f; });
  return out;
}

}  // namespace orchard::io
