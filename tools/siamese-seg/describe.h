// Images in words and in JSON, the same for every subcommand.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "io/medical/volume.h"

namespace orchard::siamese_seg {

// "35x51x32 voxels of 1x1x1 mm, RAS".
std::string DescribeGrid(const io::Grid& grid);

// shape, spacing_mm, orientation, affine (RAS mm), sheared.
nlohmann::ordered_json GridJson(const io::Grid& grid);

// "int16": the name that NIfTI and numpy have for the type.
std::string TypeName(io::DType dtype);

// "0 to 412, 3 NaN".
std::string DescribeRange(const io::ValueRange& range);

// Text that may come from a file's name, with anything but UTF-8 replaced.
std::string Dump(const nlohmann::ordered_json& json);

}  // namespace orchard::siamese_seg
