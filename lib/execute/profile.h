// What the operators of a program cost on one device.
#pragma once

#include <functional>

#include "execute/device_spec.h"
#include "execute/options.h"
#include "execute/program.h"
#include "execute/program_graph.h"

namespace orchard::execute {

// Median times of whole runs on the device, operator by operator (steady clock on the CPU, events
// on CUDA), and the scratch that each operator allocates beside its outputs. The time of an
// operator includes handing its outputs on; the time of an SGD step is divided among operators
// by the bytes of their trained parameters.
// Where the program cannot be trained, forward alone. `progress` is told after each run.
Costs Profile(const Program& program, const DeviceSpec& device, const ProfileOptions& options,
              const std::function<void()>& progress = {});

}  // namespace orchard::execute
