// An image with its label maps, turned to canonical axes, ready to be drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "segment/evaluate_options.h"
#include "segment/label_map.h"
#include "volume/overlay.h"

namespace orchard::segment {

class Picture {
 public:
  // `image`, if any, decides the grid, else the label maps do; those must lie on it. Throws
  // DataError where they do not.
  Picture(const std::optional<std::filesystem::path>& image, std::optional<LabelMap> outlined,
          std::optional<LabelMap> filled, const ViewOptions& view,
          std::map<int64_t, std::string> names);

  // The same of an image in memory.
  Picture(io::Volume image, std::optional<LabelMap> outlined, std::optional<LabelMap> filled,
          const ViewOptions& view, std::map<int64_t, std::string> names);

  // The planes through the middle of `label` (0: of any), or through a voxel of the image's own
  // axes.
  io::Image Through(int64_t label) const;
  io::Image At(const volume::Size3& voxel) const;

  // Labels in either map.
  std::vector<int64_t> Labels() const;
  const volume::Window& window() const { return args_.window; }

 private:
  void Fill(io::Volume volume, std::optional<LabelMap> outlined, std::optional<LabelMap> filled,
            const ViewOptions& view, std::map<int64_t, std::string> names);
  io::Image Draw(const volume::Size3& canonical) const;

  io::Grid grid_;  // canonical
  std::array<bool, 3> flip_;
  std::array<int, 3> axis_;
  std::vector<float> values_;
  std::vector<uint16_t> outlined_, filled_;
  volume::OverlayArgs args_;
};

}  // namespace orchard::segment
