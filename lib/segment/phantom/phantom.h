// Made-up images whose truth is known: shapes that only a template can tell apart, organs whose
// border is partly invisible, hearts and abdomens.
//
// Drawn by (seed, subject) alone; `side` is the number of voxels of axes i and j, and s their
// length. Background: noise smoothed by s / 8, of deviation 0.2. Edges are soft by 0.7 voxels.
// Labels are those of voxel centres before softening and noise. docs/methods/siamese-seg.md lists
// what is drawn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "segment/phantom/options.h"
#include "segment/prepared_case.h"
#include "volume/shape.h"

namespace orchard::segment {

struct Phantom {
  volume::Size3 size = {0, 0, 0};
  volume::Spacing3 spacing = {1, 1, 1};  // mm
  std::vector<float> image;              // [K, J, I]
  std::vector<uint8_t> labels;
  int64_t family = 0;          // of a population's subject
  std::vector<uint8_t> wedge;  // population: 1 in the sector where the border is invisible
};

// What is done to an image of any kind.
struct PhantomLook {
  double noise = 0;    // deviation
  bool warp = false;   // bodies bent by a smooth map that moves them by 0.04 s at most
  bool gain = false;   // values times 0.8 to 1.25
  bool gamma = false;  // values, from the least to the greatest, to the power of 0.8 to 1.25
};

inline constexpr int64_t kEpisodeShapes = 4;
// One of each shape, all of the same size and brightness, anywhere and turned: labels 1 to 4.
// A slice of 1 x 1 x 5 mm with disc, ring, bar and L; a cube of 1 mm with ball, shell, rod, plate.
Phantom MakeEpisode(int64_t side, uint64_t seed, uint64_t subject,
                    const PhantomLook& look = {.noise = 0.3});
Phantom MakeEpisode3d(int64_t side, uint64_t seed, uint64_t subject,
                      const PhantomLook& look = {.noise = 0.3});

inline constexpr int64_t kFamilies = 6;
// An organ with a bright rim (label 1) and a darker core (label 2). Its outline is a family's,
// which `seed` draws, with a subject's own small changes. With `wedge`, the border has no contrast
// within a random sector of 90 degrees, in a cube within a cone as wide.
Phantom MakeOrgan(int64_t side, uint64_t seed, uint64_t subject, bool wedge,
                  const PhantomLook& look = {.noise = 0.5});
Phantom MakeOrgan3d(int64_t side, uint64_t seed, uint64_t subject, bool wedge,
                    const PhantomLook& look = {.noise = 0.5});

// 8 to 12 short-axis slices of 1.5 x 1.5 x 8 mm, the apex first: right ventricle (label 1),
// myocardium (2) and left ventricle (3), in lung with liver below. The right ventricle may be
// missing from the last slices.
Phantom MakeHeart(int64_t side, uint64_t seed, uint64_t subject,
                  const PhantomLook& look = {.noise = 0.1});

// A trunk in Hounsfield units: liver (label 1), spleen (2), right and left kidney (3, 4) and aorta
// (5), with spine, fat, gas and air around. Axes are right, anterior, superior.
Phantom MakeAbdomen(int64_t side, uint64_t seed, uint64_t subject, AbdomenVoxels voxels,
                    const PhantomLook& look = {.noise = 15});

// The image to mean 0 and deviation 1, as a case of a plan for slices of 1 mm; of the labels those
// of `label` alone as 1, where it is not 0.
PreparedCase AsCase(const Phantom& phantom, const std::string& id, const std::string& subject,
                    int64_t classes, uint8_t label = 0);

}  // namespace orchard::segment
