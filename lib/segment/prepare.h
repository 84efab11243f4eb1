// A scan as a network sees it: canonical axes, cut to what is not zero, resampled and normalised;
// and the way back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/medical/orientation.h"
#include "io/medical/volume.h"
#include "segment/plan.h"
#include "volume/resize.h"

namespace orchard::segment {

// How the voxels of a prepared image lie in the scan it was made from.
struct CaseFrame {
  io::Grid original;
  io::AxisMap canonical;     // turns the original
  volume::Size3 whole;       // the turned scan
  volume::Box crop;          // of the turned scan: what is not zero in some channel
  volume::Spacing3 spacing;  // of the turned scan, mm
};

struct PreparedImage {
  volume::Size3 size = {0, 0, 0};
  int64_t channels = 0;
  std::vector<float> values;  // [channels, size], around 0
  CaseFrame frame;
  volume::Box body;  // of the voxels that are brighter than the background, see BodyBox
};

// The channels of one scan before any resampling: turned and cut.
struct CroppedScan {
  std::vector<std::vector<float>> channels;  // each of frame.crop.size()
  CaseFrame frame;
};

// Throws DataError, naming `where`: channels on different grids, NaN or infinite values (how many),
// an image of one value only.
CroppedScan CropScan(std::span<const io::Volume> channels, const std::string& where);

// The size at the plan's spacing. At least one voxel an axis.
volume::Size3 ResampledSize(const CaseFrame& frame, const Plan& plan);

// How images and label maps are interpolated between two grids: where one axis is more than three
// times as coarse as the finest, the nearest along it.
volume::Interpolation3 InterpolationFor(const volume::Spacing3& from, const volume::Spacing3& to,
                                        volume::Interpolation in_general);

// Throws as CropScan, and DataError when the number of channels is not the plan's.
PreparedImage PrepareImage(std::span<const io::Volume> channels, const Plan& plan,
                           const std::string& where, ThreadPool& pool);

// All of an image stretched over one window: [channels, patch].
std::vector<float> Stretch(const PreparedImage& image, const volume::Size3& patch,
                           ThreadPool& pool);

// The label map of the image with `frame`, on its cropped grid before resampling. Throws DataError:
// other voxels than the image's, labels that are no whole numbers or not in 0..classes.
std::vector<uint8_t> CropLabels(const io::Volume& labels, const CaseFrame& frame, int64_t classes,
                                const std::string& where);

// The same at the size of the prepared image.
std::vector<uint8_t> PrepareLabels(const io::Volume& labels, const PreparedImage& image,
                                   const Plan& plan, const std::string& where, ThreadPool& pool);

// The box of the voxels above Otsu's threshold; the whole image where that leaves less than a
// thousandth. It finds the patient in the air, and spans the image where there is no air.
volume::Box BodyBox(std::span<const float> values, const volume::Size3& size);

}  // namespace orchard::segment
