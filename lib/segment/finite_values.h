// Images with values that are no numbers, mended where the user says so.
#pragma once

#include <cstdint>

#include "io/medical/volume.h"

namespace orchard::segment {

// Puts the smallest finite value in the place of NaN and infinite ones; returns how many those
// were. Images of whole numbers have none. Nothing changes where no value is finite.
int64_t ReplaceNotFinite(io::Volume& volume);

}  // namespace orchard::segment
