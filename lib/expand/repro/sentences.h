// English sentences on many subjects, of many lengths, for experiments with sentence encoders.
#pragma once

#include <span>
#include <string_view>

namespace orchard::expand::repro {

std::span<const std::string_view> Sentences();

}  // namespace orchard::expand::repro
