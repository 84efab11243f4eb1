// What a number with a unit means, so that tables sort 900 MB before 1.2 GB.
#pragma once

#include <optional>
#include <string_view>

namespace orchard::run {

// The value of a number ("1,234.5", "-3e-4"), a number with a decimal or binary prefix and a known
// unit ("1.2 GB", "340 ms", "2 MiB", "22.7 M", "5.1 kB/s"), a percentage or factor ("12 %",
// "3.1x"), or a duration of several parts ("3 min 05 s"), in the base unit. Nothing for all other
// text.
std::optional<double> ParseQuantity(std::string_view text);

}  // namespace orchard::run
