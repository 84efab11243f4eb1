// cser-train convert: labelled images of any format into one HDF5 file.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "cser-train/tensor_commands.h"
#include "data/cifar.h"
#include "data/image_file.h"
#include "data/open_dataset.h"

namespace orchard::cser_train {
namespace {

namespace fs = std::filesystem;

// The .bin files of a folder that belong to a part, or the file itself.
std::vector<fs::path> CifarFiles(const ConvertOptions& o) {
  if (!fs::is_directory(o.from)) return {o.from};
  if (o.format == ImageFormat::kCifar100) {
    return {o.from / (o.part == ImagePart::kTrain ? "train.bin" : "test.bin")};
  }
  if (o.part == ImagePart::kTest) return {o.from / "test_batch.bin"};
  std::vector<fs::path> files;
  for (int i = 1; i <= 5; ++i) files.push_back(o.from / fmt::format("data_batch_{}.bin", i));
  return files;
}

data::ImageDataset Read(const ConvertOptions& o) {
  switch (o.format) {
    case ImageFormat::kImages:
      return data::OpenImages(o.from, {.size = o.size, .grey = o.grey});
    case ImageFormat::kCifar10:
      return data::ReadCifar(CifarFiles(o), 10);
    case ImageFormat::kCifar100:
      return data::ReadCifar(CifarFiles(o), 100);
    case ImageFormat::kCsv:
      break;
  }
  if (o.shape.size() != 3) {
    throw UsageError("a shape is three numbers", "--shape", "C,H,W, for example 1,28,28");
  }
  return data::ReadCsvImages(o.from, o.shape[0], o.shape[1], o.shape[2]);
}

}  // namespace

int RunConvert(const ConvertOptions& options, const cli::Context& context) {
  const fs::path& to = options.to;
  if (to.extension() != ".h5" && to.extension() != ".hdf5") {
    throw UsageError("the result is an HDF5 file", to.string(), "name it with .h5");
  }
  if (fs::exists(to) && !context.common.force) {
    throw UsageError("there is a file already", to.string(), "--force overwrites it");
  }
  const data::ImageDataset images = Read(options);
  if (!context.common.dry_run) data::WriteImages(to, images);
  if (context.common.json) {
    fmt::print("{}\n", nlohmann::json({{"images", images.size()},
                                       {"channels", images.channels()},
                                       {"height", images.height()},
                                       {"width", images.width()},
                                       {"classes", images.classes()}})
                           .dump());
  } else {
    fmt::print("{} images of {} x {} x {} in {} classes: {}\n", images.size(), images.channels(),
               images.height(), images.width(), images.classes(), to.string());
  }
  return 0;
}

}  // namespace orchard::cser_train
