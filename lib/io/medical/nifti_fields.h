// Where the fields of a NIfTI header lie in its bytes, for both versions.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "io/medical/nifti_header.h"

namespace orchard::io {

// The fields as they stand there, of a header of 348 bytes (version 1) or 540 (2); `big_endian` is
// how it is stored. Nothing is checked.
NiftiHeader ReadNiftiFields(std::span<const std::byte> header, int version, bool big_endian);

// "n+1", "ni2", ..., or whatever stands there.
std::string NiftiMagic(std::span<const std::byte> header, int version);

}  // namespace orchard::io
