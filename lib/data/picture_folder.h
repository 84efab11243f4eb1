// Pictures of any size in a folder per class, as ImageNet is distributed: decoded when they are
// needed, and cut to one size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/random_stream.h"
#include "io/image.h"

namespace orchard::data {

struct PictureFolder {
  std::vector<std::string> classes;  // names of the folders, in order
  std::vector<std::filesystem::path> files;
  std::vector<int32_t> labels;  // one per file
};

// Lists a folder of classes without opening a picture. With `classes` (of the training folder) its
// folders must be among these. Throws DataError: no folder, no pictures, an unknown class.
PictureFolder ListPictures(const std::filesystem::path& folder,
                           std::span<const std::string> classes = {});

struct CropOptions {
  int64_t size = 224;
  double jitter = 0;                    // brightness, contrast, saturation: factors 1 +- jitter
  double lighting = 0;                  // deviation along the main axes of ImageNet's colours
  std::vector<double> mean, deviation;  // of three channels, of pixels in [0, 1]
};

// What training sees: a part of 8 to 100 % of the area with sides of 3:4 to 4:3, resized to a
// square (Szegedy et al., 2015), mirrored every second time, its colours varied (Krizhevsky et al.,
// 2012). Ten tries for a part that fits, then the middle. `out` [3, size, size] normalised.
void RandomCrop(const io::Image& picture, const CropOptions& options, RandomStream& random,
                std::span<float> out);
// What testing sees: the middle, after the shorter side is 8/7 of `size` (256 for 224).
void CenterCrop(const io::Image& picture, const CropOptions& options, std::span<float> out);

}  // namespace orchard::data
