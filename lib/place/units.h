// Time inside the placer. Whole nanoseconds, so that ties are ties and a simulated makespan equals
// a planned one; files and options speak of microseconds.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace orchard::place {

using Time = int64_t;  // nanoseconds

inline constexpr Time kNever = std::numeric_limits<Time>::max() / 4;
inline constexpr Time kMicrosecond = 1000;

inline Time FromMicroseconds(double us) { return std::llrint(us * 1000.0); }
inline double ToMicroseconds(Time time) { return static_cast<double>(time) / 1000.0; }
inline double ToSeconds(Time time) { return static_cast<double>(time) * 1e-9; }

}  // namespace orchard::place
