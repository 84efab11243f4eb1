// The device that a subcommand on tensors computes on.
#pragma once

#include <c10/core/Device.h>

#include "cli/program.h"

namespace orchard::siamese_seg {

// --device. The ranks of a machine take its GPUs in turn, unless one is named. Loads LibTorch's
// CUDA half where it is asked for: before any tensor work. Throws UsageError and ResourceError.
c10::Device DeviceFor(const cli::Context& context);

}  // namespace orchard::siamese_seg
