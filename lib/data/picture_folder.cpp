#include "data/picture_folder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace orchard::data {
namespace {

namespace fs = std::filesystem;

constexpr int kChannels = 3;

struct Window {
  int64_t top = 0, left = 0, height = 0, width = 0;
};

std::vector<fs::path> Sorted(const fs::path& folder) {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with('.')) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

Window Middle(const io::Image& picture, int64_t height, int64_t width) {
  return {(picture.height - height) / 2, (picture.width - width) / 2, height, width};
}

Window RandomWindow(const io::Image& picture, RandomStream& random) {
  const auto area = static_cast<double>(picture.height * picture.width);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double part = area * (0.08 + 0.92 * random.Uniform());
    const double ratio =
        std::exp(std::log(0.75) + random.Uniform() * (std::log(4.0 / 3) - std::log(0.75)));
    const int64_t width = std::llround(std::sqrt(part * ratio));
    const int64_t height = std::llround(std::sqrt(part / ratio));
    if (width < 1 || height < 1 || width > picture.width || height > picture.height) continue;
    const int64_t top = random.Below(static_cast<uint64_t>(picture.height - height + 1));
    return {top, random.Below(static_cast<uint64_t>(picture.width - width + 1)), height, width};
  }
  // As much of the middle as has an allowed shape.
  const double shape = static_cast<double>(picture.width) / static_cast<double>(picture.height);
  if (shape < 0.75) {
    const auto height = std::llround(static_cast<double>(picture.width) / 0.75);
    return Middle(picture, std::min<int64_t>(height, picture.height), picture.width);
  }
  const auto width = std::llround(static_cast<double>(picture.height) * 4 / 3);
  return Middle(picture, picture.height, std::min<int64_t>(width, picture.width));
}

io::Image Cut(const io::Image& picture, const Window& w) {
  io::Image part{w.height, w.width, picture.channels, {}};
  part.pixels.reserve(static_cast<size_t>(w.height * w.width * picture.channels));
  for (int64_t y = w.top; y < w.top + w.height; ++y) {
    const auto row = picture.pixels.begin() + (y * picture.width + w.left) * picture.channels;
    part.pixels.insert(part.pixels.end(), row, row + w.width * picture.channels);
  }
  return part;
}

// Shrinking averages areas, so that fine patterns do not alias.
io::Image Resized(const io::Image& picture, int64_t height, int64_t width) {
  const bool shrinks = height < picture.height && width < picture.width;
  return io::Resize(picture, height, width,
                    shrinks ? io::Interpolation::kArea : io::Interpolation::kBilinear);
}

double Grey(const float* pixel) { return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]; }

// Brightness, contrast and saturation in this order, by factors around 1. `pixels` [size, 3].
void Jitter(double by, RandomStream& random, std::span<float> pixels) {
  const auto factor = [&] { return static_cast<float>(1 + by * (2 * random.Uniform() - 1)); };
  const float brightness = factor(), contrast = factor(), saturation = factor();
  double grey = 0;
  for (size_t i = 0; i < pixels.size(); i += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) pixels[i + c] *= brightness;
    grey += Grey(&pixels[i]);
  }
  const auto mean = static_cast<float>(grey * kChannels / static_cast<double>(pixels.size()));
  for (size_t i = 0; i < pixels.size(); i += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) {
      pixels[i + c] = mean + contrast * (pixels[i + c] - mean);
    }
    const auto own = static_cast<float>(Grey(&pixels[i]));
    for (size_t c = 0; c < kChannels; ++c) {
      pixels[i + c] = own + saturation * (pixels[i + c] - own);
    }
  }
}

// Noise along the principal axes of ImageNet's colours (Krizhevsky et al., 2012; values of pixels
// in [0, 1] as in their widely used release).
std::array<float, kChannels> Lighting(double deviation, RandomStream& random) {
  constexpr double kValues[] = {0.2175, 0.0188, 0.0045};
  constexpr double kAxes[kChannels][kChannels] = {
      {-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}};
  std::array<double, kChannels> alpha{};
  for (double& a : alpha) a = deviation * random.Normal();
  std::array<float, kChannels> shift{};
  for (int c = 0; c < kChannels; ++c) {
    double sum = 0;
    for (int k = 0; k < kChannels; ++k) sum += kAxes[c][k] * kValues[k] * alpha[k];
    shift[c] = static_cast<float>(sum);
  }
  return shift;
}

// [size, size, 3] in [0, 1] to [3, size, size], normalised.
void Normalise(std::span<const float> pixels, const CropOptions& options,
               const std::array<float, kChannels>& shift, std::span<float> out) {
  const size_t plane = out.size() / kChannels;
  for (size_t c = 0; c < kChannels; ++c) {
    const auto mean = static_cast<float>(options.mean[c]);
    const auto deviation = static_cast<float>(options.deviation[c]);
    for (size_t i = 0; i < plane; ++i) {
      out[c * plane + i] = (pixels[i * kChannels + c] + shift[c] - mean) / deviation;
    }
  }
}

}  // namespace

PictureFolder ListPictures(const fs::path& folder, std::span<const std::string> classes) {
  if (!fs::is_directory(folder)) throw DataError("there is no such folder", folder.string());
  PictureFolder found;
  found.classes.assign(classes.begin(), classes.end());
  for (const fs::path& of_class : Sorted(folder)) {
    if (!fs::is_directory(of_class)) continue;
    const std::string name = of_class.filename().string();
    if (classes.empty()) found.classes.push_back(name);
    const auto at = std::find(found.classes.begin(), found.classes.end(), name);
    if (at == found.classes.end()) {
      throw DataError("a class that is not among those of training", of_class.string());
    }
    for (const fs::path& file : Sorted(of_class)) {
      if (!fs::is_regular_file(file)) continue;
      found.files.push_back(file);
      found.labels.push_back(static_cast<int32_t>(at - found.classes.begin()));
    }
  }
  if (found.files.empty()) {
    throw DataError("there are no pictures", folder.string(), "one folder of pictures per class");
  }
  return found;
}

void RandomCrop(const io::Image& picture, const CropOptions& options, RandomStream& random,
                std::span<float> out) {
  const int64_t size = options.size;
  const io::Image part = Resized(Cut(picture, RandomWindow(picture, random)), size, size);
  const bool flip = random.Chance(0.5);
  std::vector<float> pixels(out.size());
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      const int64_t from = flip ? size - 1 - x : x;
      for (int64_t c = 0; c < kChannels; ++c) {
        pixels[static_cast<size_t>((y * size + x) * kChannels + c)] =
            static_cast<float>(part.At(y, from, c)) / 255;
      }
    }
  }
  if (options.jitter > 0) Jitter(options.jitter, random, pixels);
  std::array<float, kChannels> shift{};
  if (options.lighting > 0) shift = Lighting(options.lighting, random);
  Normalise(pixels, options, shift, out);
}

void CenterCrop(const io::Image& picture, const CropOptions& options, std::span<float> out) {
  const double side = static_cast<double>(options.size) * 8 / 7;
  const double factor = side / static_cast<double>(std::min(picture.height, picture.width));
  const auto scaled = [&](int64_t length) {
    return std::max<int64_t>(options.size, std::llround(static_cast<double>(length) * factor));
  };
  const io::Image whole = Resized(picture, scaled(picture.height), scaled(picture.width));
  const io::Image part = Cut(whole, Middle(whole, options.size, options.size));
  std::vector<float> pixels(part.pixels.size());
  std::transform(part.pixels.begin(), part.pixels.end(), pixels.begin(),
                 [](uint8_t v) { return static_cast<float>(v) / 255; });
  Normalise(pixels, options, {}, out);
}

}  // namespace orchard::data
