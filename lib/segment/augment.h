// Random changes to training patches: each draws from a stream of its own, so that a sample's are
// the same for any number of threads and after a resume.
//
// Source: nnU-Net v2's default augmentation, restated in docs/methods/siamese-seg.md; elastic
// displacement is ours.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "cli/fields.h"
#include "data/random_stream.h"
#include "volume/shape.h"

namespace orchard::segment {

struct AugmentOptions {
  bool enabled = true;
  double rotate = 0.2, scale = 0.2;  // probabilities
  double elastic = 0.1;              // of templates only
  double noise = 0.1, blur = 0.2, brightness = 0.15, contrast = 0.15, low_resolution = 0.25;
  double gamma_inverted = 0.1, gamma = 0.3;
  double mirror = 0.5;                    // of each allowed axis
  std::vector<int64_t> mirror_axes = {};  // 0 (i), 1 (j), 2 (k)

  void Fields(cli::FieldVisitor& f) {
    f("enabled", enabled, "change training patches at random");
    f("rotate", rotate, "probability of a rotation", cli::Between(0, 1));
    f("scale", scale, "probability of zooming by 0.7 to 1.4", cli::Between(0, 1));
    f("elastic", elastic, "probability of bending a template smoothly", cli::Between(0, 1));
    f("noise", noise, "probability of Gaussian noise", cli::Between(0, 1));
    f("blur", blur, "probability of a Gaussian blur", cli::Between(0, 1));
    f("brightness", brightness, "probability of another brightness", cli::Between(0, 1));
    f("contrast", contrast, "probability of another contrast", cli::Between(0, 1));
    f("low_resolution", low_resolution, "probability of a coarser resolution", cli::Between(0, 1));
    f("gamma_inverted", gamma_inverted, "probability of a gamma curve on the inverted image",
      cli::Between(0, 1));
    f("gamma", gamma, "probability of a gamma curve", cli::Between(0, 1));
    f("mirror", mirror, "probability of mirroring each of mirror_axes", cli::Between(0, 1));
    f("mirror_axes", mirror_axes, "axes that may be mirrored: 0 left-right, 1, 2",
      cli::Between(0, 2));
  }
};

// An image patch and its labels. labels 255 would be ignored by the loss.
struct Patch {
  volume::Size3 size = {0, 0, 0};
  int64_t channels = 0;
  std::vector<float> image;     // [channels, size]
  std::vector<uint8_t> labels;  // [size]
};

// How a patch is cut from a volume: turned, zoomed and bent about its centre.
struct SpatialChange {
  // Patch offsets from the centre to offsets in the source, in voxels.
  std::array<std::array<double, 3>, 3> turn = {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  // Smooth displacements on a coarse lattice over the patch, voxels; empty: none.
  volume::Size3 lattice = {0, 0, 0};
  std::vector<std::array<float, 3>> displacement;
  bool identity() const { return displacement.empty() && turn == SpatialChange{}.turn; }
};

// Draws it. Rotations are within +-30 degrees about each axis, in the plane of i and j alone where
// k's spacing is more than three times theirs or the patch has one slice; then within +-180
// degrees, +-15 where one side of the patch is more than 1.5 times the other.
SpatialChange DrawSpatialChange(const AugmentOptions& options, const volume::Size3& patch,
                                const volume::Spacing3& spacing, bool is_template,
                                data::RandomStream& random);

// The patch that begins at `start` of a volume, with the change: linear interpolation for the image
// (a cubic spline would cost more than the network's stem and shows no difference after noise and
// blur), the nearest voxel for labels; 0 outside.
Patch CutPatch(const float* image, const uint8_t* labels, int64_t channels,
               const volume::Size3& size, const volume::Size3& patch, const volume::Size3& start,
               const SpatialChange& change);

// The changes of values, in the order of the options above.
void ChangeValues(const AugmentOptions& options, Patch& patch, data::RandomStream& random);

// Which axes to mirror: one draw for an image and its template, since left and right are not alike.
std::array<bool, 3> DrawMirror(const AugmentOptions& options, data::RandomStream& random);
void Mirror(Patch& patch, const std::array<bool, 3>& axes);

}  // namespace orchard::segment
