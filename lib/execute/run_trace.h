// Predicted and measured steps in one timeline, as Chrome trace events.
#pragma once

#include <string>
#include <vector>

#include "execute/device_spec.h"
#include "execute/executor.h"
#include "execute/prediction.h"
#include "execute/program.h"

namespace orchard::execute {

// Processes 1.. are the devices as predicted, then as measured; threads compute, send, receive.
std::string RunTrace(const Program& program, const std::vector<DeviceSpec>& devices,
                     const Layout& layout, const Prediction& prediction,
                     const StepResult& measured);

}  // namespace orchard::execute
