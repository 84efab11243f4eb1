// CIFAR-10 and CIFAR-100 in their binary versions (Krizhevsky, 2009).
#pragma once

#include <filesystem>
#include <span>

#include "data/image_dataset.h"

namespace orchard::data {

// Records one after the other: a label (CIFAR-100: the coarse one, which is passed over, then the
// fine one), then 3072 bytes of red, green and blue planes of 32 x 32.
//   classes  10 or 100
// Throws DataError with file, record and offset for a record that is cut short or a label out of
// range.
ImageDataset ReadCifar(std::span<const std::filesystem::path> files, int32_t classes);

}  // namespace orchard::data
