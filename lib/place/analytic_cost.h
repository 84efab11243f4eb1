// Times of operators nobody has measured: the larger of arithmetic and memory traffic, and a
// launch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace orchard::place {

// What one device can do.
struct DevicePreset {
  std::string name;
  double flops_per_second = 0;  // single precision, peak
  double bytes_per_second = 0;  // of its memory
  int64_t memory = 0;           // bytes
  double efficiency = 0.5;      // part of the peak that dense operators reach
  double launch_us = 5;         // of every operator
};

// rtx2080, v100, h100: the vendors' figures. cpu-core: this machine's, measured once by a probe of
// a second. Throws UsageError, naming them all, when there is no such preset.
const DevicePreset& FindPreset(std::string_view name);
// The names that FindPreset knows.
std::span<const std::string_view> PresetNames();

// Microseconds of one execution. `flops` counts a multiplication and an addition as two; `bytes`
// are those of inputs, outputs and parameters.
double AnalyticMicroseconds(double flops, double bytes, const DevicePreset& preset);

// Backward passes by forward ones: two products for every product of dense operators, else one.
inline constexpr double kDenseBackward = 2, kOtherBackward = 1;

}  // namespace orchard::place
