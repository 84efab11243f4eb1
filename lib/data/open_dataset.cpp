#include "data/open_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/idx.h"
#include "io/image.h"

namespace orchard::data {
namespace {

namespace fs = std::filesystem;

bool IsHdf5(const fs::path& path) {
  return path.extension() == ".h5" || path.extension() == ".hdf5";
}

// Token ids of an HDF5 file, read where they are needed.
class Hdf5Tokens : public TokenSource {
 public:
  explicit Hdf5Tokens(const fs::path& path) : file_(io::Hdf5File::Open(path)) {
    const std::vector<int64_t> shape = file_.Info("tokens").shape;
    if (shape.empty() || shape.size() > 2 || shape[0] < 1 || shape.back() < 1) {
      throw DataError("tokens must be [N] or [N, L] and not empty", path.string() + ": tokens");
    }
    rows_ = shape[0];
    row_length_ = shape.size() == 2 ? shape[1] : 0;
  }
  int64_t size() const override { return rows_ * std::max<int64_t>(1, row_length_); }
  int64_t row_length() const override { return row_length_; }

  void Read(int64_t begin, std::span<int32_t> out) const override {
    if (out.empty()) return;
    const int64_t end = begin + static_cast<int64_t>(out.size());
    const std::lock_guard lock(mutex_);
    if (row_length_ == 0) return file_.ReadRows<int32_t>("tokens", begin, end, out);
    const int64_t first = begin / row_length_, last = (end + row_length_ - 1) / row_length_;
    std::vector<int32_t> rows(static_cast<size_t>((last - first) * row_length_));
    file_.ReadRows<int32_t>("tokens", first, last, rows);
    std::copy_n(rows.begin() + (begin - first * row_length_), out.size(), out.begin());
  }

 private:
  io::Hdf5File file_;
  mutable std::mutex mutex_;
  int64_t rows_ = 0, row_length_ = 0;
};

int64_t RowElements(const std::vector<int64_t>& shape) { return shape[1] * shape[2] * shape[3]; }

// A dataset as numbers of type T. Of other types each number must be one of T's: reading alone
// would bend what is too large, and turn what is no number into one.
//   row   elements of one record
//   what  a number is, for the message
template <class T>
std::vector<T> WholeNumbers(const io::Hdf5File& file, const char* name, int64_t row,
                            const char* what, const std::string& where) {
  const io::DType stored = file.Info(name).dtype;
  if (stored == io::DTypeOf<T>()) return file.Read<T>(name);
  const std::vector<double> values = file.Read<double>(name);
  std::vector<T> numbers(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = values[i];
    const bool fits = v >= std::numeric_limits<T>::min() && v <= std::numeric_limits<T>::max() &&
                      v == std::floor(v);
    if (!fits) {
      throw DataError(fmt::format("{:g} is no {}", v, what),
                      fmt::format("{}: record {}", where, static_cast<int64_t>(i) / row));
    }
    numbers[i] = static_cast<T>(v);
  }
  return numbers;
}

int64_t ClassesOf(const io::Hdf5File& file, const fs::path& path) {
  const io::Hdf5Attribute value = file.GetAttribute("/", "classes");
  const auto* classes = std::get_if<int64_t>(&value);
  if (classes == nullptr || *classes < 1 || *classes > (1 << 30)) {
    throw DataError("the attribute `classes` is no number of classes", path.string());
  }
  return *classes;
}

ImageDataset ImagesOfHdf5(const fs::path& path) {
  const io::Hdf5File file = io::Hdf5File::Open(path);
  const std::vector<int64_t> shape = file.Info("images").shape;
  if (shape.size() != 4) throw DataError("images must be [N, C, H, W]", path.string() + ": images");
  const int64_t classes = file.HasAttribute("/", "classes") ? ClassesOf(file, path) : 0;
  const std::string labels = path.string() + ": labels";
  return ImageDataset(shape[1], shape[2], shape[3],
                      WholeNumbers<uint8_t>(file, "images", RowElements(shape), "pixel of 0 to 255",
                                            path.string() + ": images"),
                      WholeNumbers<int32_t>(file, "labels", 1, "label", labels),
                      static_cast<int32_t>(classes), labels);
}

fs::path LabelsBeside(const fs::path& images) {
  std::string name = images.filename().string();
  for (const auto& [from, to] :
       {std::pair{"images", "labels"}, {"idx3", "idx1"}, {"idx4", "idx1"}}) {
    const size_t at = name.find(from);
    if (at != std::string::npos) name.replace(at, std::string_view(from).size(), to);
  }
  if (name == images.filename()) {
    throw DataError("the name of an IDX file of images must hold \"images\"", images.string(),
                    "its labels stand beside it under the name with \"labels\"");
  }
  return images.parent_path() / name;
}

ImageDataset ImagesOfIdx(const fs::path& path) {
  const io::IdxArray images = io::ReadIdx(path);
  const fs::path labels_path = LabelsBeside(path);
  const io::IdxArray labels = io::ReadIdx(labels_path);
  if (images.dtype != io::DType::kU8 || images.shape.size() < 3 || images.shape.size() > 4) {
    throw DataError("IDX images must be bytes [N, H, W] or [N, H, W, C]", path.string());
  }
  if (labels.dtype != io::DType::kU8 || labels.shape.size() != 1) {
    throw DataError("IDX labels must be bytes [N]", labels_path.string());
  }
  const int64_t n = images.shape[0], h = images.shape[1], w = images.shape[2];
  const int64_t channels = images.shape.size() == 4 ? images.shape[3] : 1;
  std::vector<uint8_t> pixels(images.bytes.size());
  for (int64_t i = 0; i < n * h * w; ++i) {
    const int64_t image = i / (h * w), place = i % (h * w);
    for (int64_t c = 0; c < channels; ++c) {
      pixels[(image * channels + c) * h * w + place] =
          static_cast<uint8_t>(images.bytes[i * channels + c]);
    }
  }
  std::vector<int32_t> numbers;
  for (const std::byte b : labels.bytes) numbers.push_back(static_cast<int32_t>(b));
  return ImageDataset(channels, h, w, std::move(pixels), std::move(numbers), 0, path.string());
}

std::vector<fs::path> Sorted(const fs::path& folder) {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with('.')) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

ImageDataset ImagesOfFolder(const fs::path& folder, const ImageFileOptions& options) {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  int64_t height = 0, width = 0, channels = 0;
  int32_t classes = 0;
  for (const fs::path& of_class : Sorted(folder)) {
    if (!fs::is_directory(of_class)) continue;
    for (const fs::path& path : Sorted(of_class)) {
      io::Image image = io::ReadImage(path, options.grey ? io::Color::kGrey : io::Color::kRgb);
      if (options.size > 0) {
        image = io::Resize(image, options.size, options.size, io::Interpolation::kBicubic);
      }
      if (labels.empty()) {
        height = image.height;
        width = image.width;
        channels = image.channels;
      } else if (height != image.height || width != image.width || channels != image.channels) {
        throw DataError("the pictures differ in size", path.string(),
                        "set a size to resize them to");
      }
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t i = 0; i < height * width; ++i)
          pixels.push_back(image.pixels[i * channels + c]);
      }
      labels.push_back(classes);
    }
    ++classes;
  }
  if (labels.empty()) {
    throw DataError("no pictures in folders of classes", folder.string(),
                    "put the pictures of each class into a folder of its own");
  }
  return ImageDataset(channels, height, width, std::move(pixels), std::move(labels), classes);
}

}  // namespace

std::shared_ptr<const TokenSource> OpenTokens(const fs::path& path,
                                              const text::Tokenizer* tokenizer,
                                              const text::CorpusOptions& options,
                                              ThreadPool& pool) {
  if (IsHdf5(path)) return std::make_shared<Hdf5Tokens>(path);
  if (tokenizer == nullptr) {
    throw UsageError("a text needs a tokenizer", "data.tokenizer",
                     "name a tokenizer.json or \"bytes\"");
  }
  return TokensOfText(path, *tokenizer, options, pool);
}

ImageDataset OpenImages(const fs::path& path, const ImageFileOptions& options) {
  if (fs::is_directory(path)) return ImagesOfFolder(path, options);
  return IsHdf5(path) ? ImagesOfHdf5(path) : ImagesOfIdx(path);
}

}  // namespace orchard::data
