// Measures devices and the links between them by running small programs on the executor, so that
// what is measured is what a run will pay: hand-over, copy, and waking the receiver.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "execute/options.h"
#include "execute/statistics.h"
#include "place/cluster.h"

namespace orchard::execute {

struct LinkMeasurement {
  int32_t src = 0, dst = 0;
  std::vector<TransferTime> times;
  LinkFit fit;
};

struct Calibration {
  place::Cluster cluster;  // with measured links, speeds and memory
  std::vector<LinkMeasurement> links;
  // A large transfer alone, beside another one in the same direction, and beside one in the other;
  // each as the time until both are there. Zero for one device.
  double alone_us = 0, same_direction_us = 0, opposite_us = 0;
};

// Throws UsageError or ResourceError for devices that do not exist or stand there twice.
Calibration Calibrate(const CalibrateOptions& options,
                      const std::function<void(const std::string&)>& progress = {});

// devices.json (docs/formats.md), with the measured times beside the coefficients.
std::string CalibrationToJson(const Calibration& calibration);

}  // namespace orchard::execute
