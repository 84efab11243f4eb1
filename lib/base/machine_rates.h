// What this machine does at most, measured in a moment: the ceilings that estimates are held
// against.
#pragma once

namespace orchard {

struct MachineRates {
  double copy_bytes = 0;  // per second: read plus written by a copy far larger than the caches
  double f32_flops = 0;   // per second: fused multiply-adds in the widest vectors, two each
  double f64_flops = 0;
};

// With all of `threads` at work; takes about a second.
MachineRates MeasureMachineRates(int threads);

}  // namespace orchard
