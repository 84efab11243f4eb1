#include "siamese-seg/describe.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/number_format.h"
#include "io/medical/nifti_header.h"

namespace orchard::siamese_seg {

std::string DescribeGrid(const io::Grid& grid) {
  const io::Vec3 spacing = grid.affine.Spacing();
  return fmt::format("{}x{}x{} voxels of {:.4g}x{:.4g}x{:.4g} mm, {}", grid.size[0], grid.size[1],
                     grid.size[2], spacing[0], spacing[1], spacing[2],
                     io::OrientationCode(grid.affine));
}

nlohmann::ordered_json GridJson(const io::Grid& grid) {
  nlohmann::ordered_json affine = nlohmann::ordered_json::array();
  for (const auto& row : grid.affine.m) affine.push_back(row);
  affine.push_back({0.0, 0.0, 0.0, 1.0});
  return {{"shape", grid.size},
          {"spacing_mm", grid.affine.Spacing()},
          {"orientation", io::OrientationCode(grid.affine)},
          {"sheared", grid.affine.Shear() > 1e-3},
          {"affine", affine}};
}

std::string TypeName(io::DType dtype) { return io::NiftiDatatypeName(io::NiftiDatatype(dtype)); }

std::string DescribeRange(const io::ValueRange& range) {
  std::string text =
      fmt::format("{} to {}", FormatSignificant(range.min, 6), FormatSignificant(range.max, 6));
  if (range.integral) text = fmt::format("{:.0f} to {:.0f}, whole numbers", range.min, range.max);
  if (range.not_a_number > 0) text += fmt::format(", {} NaN", range.not_a_number);
  if (range.infinite > 0) text += fmt::format(", {} infinite", range.infinite);
  return text;
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace orchard::siamese_seg
