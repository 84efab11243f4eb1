// What `cser-train convert` and `export` can be told.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "cli/fields.h"

namespace orchard::cser_train {

enum class ImageFormat { kImages, kCifar10, kCifar100, kCsv };
inline constexpr cli::EnumName<ImageFormat> kImageFormatNames[] = {
    {"images", ImageFormat::kImages},
    {"cifar10", ImageFormat::kCifar10},
    {"cifar100", ImageFormat::kCifar100},
    {"csv", ImageFormat::kCsv}};
constexpr auto EnumNames(ImageFormat) { return std::span(kImageFormatNames); }

enum class ImagePart { kTrain, kTest };
inline constexpr cli::EnumName<ImagePart> kImagePartNames[] = {{"train", ImagePart::kTrain},
                                                               {"test", ImagePart::kTest}};
constexpr auto EnumNames(ImagePart) { return std::span(kImagePartNames); }

struct ConvertOptions {
  std::filesystem::path from, to;
  ImageFormat format = ImageFormat::kImages;
  ImagePart part = ImagePart::kTrain;
  int64_t size = 0;
  bool grey = false;
  std::vector<int64_t> shape = {1, 28, 28};

  void Fields(cli::FieldVisitor& f) {
    f.Positional("from", from, "what is read");
    f.Positional("to", to, "the HDF5 file to write");
    f("format", format,
      "images: an IDX file with its labels beside it, a folder with one folder of pictures per "
      "class, or HDF5; cifar: the binary version's folder or file; csv: a label and pixels per "
      "row");
    f("part", part, "cifar: which files of the folder");
    f("size", size, "pictures: side of the square they are resized to (0: as they are)",
      cli::AtLeast(0));
    f("grey", grey, "pictures: without colour");
    f("shape", shape, "csv: C,H,W", cli::AtLeast(1));
  }
};

struct ExportOptions {
  std::filesystem::path model, to;
  std::optional<std::filesystem::path> module;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("model", model, "a run, its final/ directory, or a checkpoint");
    f.Positional("to", to, "file to write: .safetensors, or .pth for torch.load");
    f("module", module,
      "the TorchScript file that was trained (--arch MODEL.pt): writes it with the averaged "
      "weights, for torch.jit.load");
  }
};

}  // namespace orchard::cser_train
