// What a step of data-parallel training costs, by arithmetic: before a run, and beside one.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/fields.h"

namespace orchard::sync {

struct PredictOptions {
  int64_t params = 35'800'000;
  int64_t world = 8;          // ranks
  double bandwidth = 1e9;     // bits per second of a rank's link, each way
  double latency_us = 50;     // of a message
  double compute_ms = 40;     // forward and backward of a step
  double overlap_ms = 0;      // of it, that the wire can hide behind
  int64_t element_bytes = 4;  // of a number on the wire
  std::vector<double> ratios = {1, 4, 16, 64, 256, 1024};

  void Fields(cli::FieldVisitor& f) {
    f("params", params, "trained parameters", cli::Count(1));
    f("world", world, "ranks", cli::AtLeast(1));
    f("bandwidth", bandwidth, "bits per second of a rank's link, in each direction",
      cli::Positive());
    f("latency_us", latency_us, "microseconds of a message", cli::AtLeast(0));
    f("compute_ms", compute_ms, "milliseconds of a step's forward and backward pass",
      cli::AtLeast(0));
    f("overlap_ms", overlap_ms, "of it, that can hide the wire", cli::AtLeast(0));
    f("element_bytes", element_bytes, "bytes of a number on the wire", cli::Between(1, 8));
    f("ratios", ratios, "compression ratios to predict", cli::AtLeast(1));
  }
};

struct StepPrediction {
  double ratio = 1;
  double bytes = 0;         // sent by a rank
  double wire_seconds = 0;  // at full bandwidth, latency apart
  double seconds = 0;       // of the step
  double speedup = 1;       // against ratio 1
};

struct Prediction {
  std::vector<StepPrediction> steps;  // in the order of the ratios
  // Where a dense exchange takes as long as what it can hide behind, plus 5 % of the step: above
  // it compression saves less than that. Bits per second.
  double break_even_bandwidth = 0;
};

// T = c + max(0, 2 (n-1)/n b d / (R W) - overlap) + 2 (n-1) latency, with b bytes per number, d
// parameters, ratio R and W bytes per second. Source: docs/methods/cser-train.md.
Prediction Predict(const PredictOptions& options);

}  // namespace orchard::sync
