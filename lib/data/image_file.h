// Images between file formats: CSV in, HDF5 out. What OpenImages reads is in open_dataset.h.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/image_dataset.h"

namespace orchard::data {

// A row per image: its label, then channels * height * width pixels of 0 to 255, row-major [C, H,
// W]. A first line of words is passed over. Throws DataError with file and line: a pixel that is no
// whole number of that range (NaN included), a row of another length, a label below zero.
ImageDataset ReadCsvImages(const std::filesystem::path& path, int64_t channels, int64_t height,
                           int64_t width);

// `images` [N, C, H, W] uint8, `labels` [N] int32, and the attribute `classes`, as OpenImages reads
// them. Appears whole or not at all. Throws ResourceError.
void WriteImages(const std::filesystem::path& path, const ImageDataset& images);

}  // namespace orchard::data
