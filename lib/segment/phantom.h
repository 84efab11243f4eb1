// Made-up images whose truth is known: shapes that only a template can tell apart, and organs whose
// border is partly invisible.
//
// Slices, [1][J][I] of `side` voxels each way, drawn by (seed, subject) alone. Background: noise
// smoothed by side / 8, of deviation 0.2. Edges are soft by 0.7 voxels.
#pragma once

#include <cstdint>
#include <vector>

#include "segment/prepared_case.h"

namespace orchard::segment {

struct Phantom {
  int64_t side = 0;
  std::vector<float> image;
  std::vector<uint8_t> labels;
  int64_t family = 0;          // of a population's subject
  std::vector<uint8_t> wedge;  // population: 1 in the sector where the border is invisible
};

inline constexpr int64_t kEpisodeShapes = 4;  // disc, ring, bar, L
// One of each shape, all of the same area and brightness, anywhere and turned: label 1 to 4 by
// shape. Noise of deviation `noise`.
Phantom MakeEpisode(int64_t side, uint64_t seed, uint64_t subject, double noise = 0.3);

inline constexpr int64_t kFamilies = 6;
// An organ with a bright rim (label 1) and a darker core (label 2). Its outline is a family's,
// which `seed` draws, with a subject's own small changes. With `wedge`, the border has no contrast
// within a random sector of 90 degrees.
Phantom MakeOrgan(int64_t side, uint64_t seed, uint64_t subject, bool wedge, double noise = 0.5);

// The image to mean 0 and deviation 1, as a case of a plan for slices; of the labels those of
// `label` alone as 1, where it is not 0.
PreparedCase AsCase(const Phantom& phantom, const std::string& id, const std::string& subject,
                    int64_t classes, uint8_t label = 0);

}  // namespace orchard::segment
