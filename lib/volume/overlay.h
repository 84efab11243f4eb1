// Pictures of an image with labels on it: the three planes through a voxel, side by side.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/image.h"
#include "volume/shape.h"

namespace orchard::volume {

// Grey values: black at level - width / 2, white at level + width / 2.
struct Window {
  double level = 0, width = 1;
};

// A window for `values`: of CT (values from below -500 on) soft tissue, level 40 and width 400;
// else from the 0.5th to the 99.5th percentile of the values that are not the smallest one.
Window ChooseWindow(std::span<const float> values);

// One class's colour, 0..255; neighbouring numbers differ clearly.
std::array<uint8_t, 3> ClassColor(int64_t label);

// Violet, red, yellow for 0.. 0.5 .. 1; how much of it covers the image grows with the value.
std::array<uint8_t, 3> HeatColor(double value);

// What is drawn. Axes are those of the nearest canonical orientation: i to the right, j to the
// front, k up. Pictures follow the radiological convention: the patient's right is on the left.
struct OverlayArgs {
  Size3 size = {0, 0, 0};
  Spacing3 spacing = {1, 1, 1};
  const float* image = nullptr;        // [size]
  const uint16_t* outlined = nullptr;  // [size] or null: drawn as lines
  const uint16_t* filled = nullptr;    // [size] or null: drawn as translucent areas
  const float* heat = nullptr;  // [size], 0 to 1, or null: drawn over the image, see HeatColor
  Window window;
  int64_t pixels = 320;                  // the longest side of a plane
  std::map<int64_t, std::string> names;  // for the legend; labels without a name show their number
  bool legend = true;
};

// The axial, coronal and sagittal plane through `at`, with the letters of the directions, lines
// where the other planes cut, and a legend of the labels in sight. Throws UsageError for a voxel
// outside.
io::Image DrawPlanes(const OverlayArgs& args, const Size3& at);

// The voxel of `label` (0: of any but 0) nearest to the centre of mass of its voxels in `labels`,
// or the middle of the volume where there is none.
Size3 CenterOf(std::span<const uint16_t> labels, const Size3& size, int64_t label);

}  // namespace orchard::volume
