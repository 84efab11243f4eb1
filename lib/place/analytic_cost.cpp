#include "place/analytic_cost.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/machine_rates.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"rtx2080", "v100", "h100", "cpu-core"};

DevicePreset CpuCore() {
  const MachineRates rates = MeasureMachineRates(1);
  return {.name = "cpu-core",
          .flops_per_second = rates.f32_flops,
          .bytes_per_second = rates.copy_bytes,
          .memory = INT64_MAX,
          .efficiency = 0.5,
          .launch_us = 5};
}

}  // namespace

std::span<const std::string_view> PresetNames() { return kNames; }

const DevicePreset& FindPreset(std::string_view name) {
  static const std::array<DevicePreset, 3> known = {{
      {"rtx2080", 10.1e12, 448e9, 8'000'000'000, 0.5, 5},
      {"v100", 15.7e12, 900e9, 16'000'000'000, 0.5, 5},
      {"h100", 67e12, 3.35e12, 80'000'000'000, 0.5, 5},
  }};
  for (const DevicePreset& preset : known) {
    if (preset.name == name) return preset;
  }
  if (name == "cpu-core") {
    static const DevicePreset core = CpuCore();
    return core;
  }
  throw UsageError("no device preset " + io::Quoted(std::string(name)), "",
                   fmt::format("there are {}", fmt::join(kNames, ", ")));
}

double AnalyticMicroseconds(double flops, double bytes, const DevicePreset& preset) {
  const double compute = flops / (preset.efficiency * preset.flops_per_second);
  return std::max(compute, bytes / preset.bytes_per_second) * 1e6 + preset.launch_us;
}

}  // namespace orchard::place
