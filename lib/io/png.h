// Writing PNG pictures with zlib alone. io/image.h reads and writes many formats, by OpenCV, which
// loads 130 libraries; programs that only draw use this.
#pragma once

#include <cstddef>
#include <vector>

#include "io/image.h"

namespace orchard::io {

// 8 bits a channel, grey or RGB, rows filtered by their upper neighbours. Throws an internal Error
// for other channels.
std::vector<std::byte> EncodePng(const Image& image);

}  // namespace orchard::io
