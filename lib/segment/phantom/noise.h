// Textures.
#pragma once

#include <vector>

#include "data/random_stream.h"
#include "volume/shape.h"

namespace orchard::segment {

// To mean 0 and this deviation.
void Standardise(std::vector<double>& values, double deviation);

// At the edges of an image, where a filter has less to smooth, noise is stronger, or as everywhere.
enum class Edges { kStrong, kEven };

// Normal noise, smoothed by `sigma` (mm) along every axis that has more than one voxel, of mean 0
// and this deviation. [K, J, I].
std::vector<double> SmoothNoise(const volume::Size3& size, const volume::Spacing3& spacing,
                                double sigma, double deviation, Edges edges,
                                data::RandomStream& random);

}  // namespace orchard::segment
