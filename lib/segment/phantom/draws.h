// Numbers that phantoms draw.
#pragma once

#include "data/random_stream.h"

namespace orchard::segment {

// From -most to most.
inline double Around(double most, data::RandomStream& random) {
  return most * (2 * random.Uniform() - 1);
}

}  // namespace orchard::segment
