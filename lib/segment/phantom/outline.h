// The outlines of organs about their centre, of mean radius 1. A family's numbers come from
// (seed, family), small changes from a subject's own stream.
#pragma once

#include <array>
#include <cstdint>

#include "data/random_stream.h"
#include "io/medical/affine.h"

namespace orchard::segment {

// 1 + the sum over m = 2 to 5 of a cos(m angle + phase).
struct Outline {
  std::array<double, 4> a{}, phase{};

  Outline(uint64_t seed, int64_t family, data::RandomStream& subject);
  double At(double angle) const;
};

inline constexpr size_t kHarmonics = 21;
// The real spherical harmonics of degree 2, 3 and 4 in the direction of a unit vector, by degree
// and within it by order from -degree to degree; of mean square 1/2, as a cosine's.
std::array<double, kHarmonics> Harmonics(const io::Vec3& direction);

// 1 + the sum over the harmonics of degrees 2 to 4. Each degree varies as a term of an Outline
// does.
struct Outline3d {
  std::array<double, kHarmonics> a{};

  Outline3d(uint64_t seed, int64_t family, data::RandomStream& subject);
  double At(const io::Vec3& direction) const;
};

}  // namespace orchard::segment
