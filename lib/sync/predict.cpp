#include "sync/predict.h"

#include <algorithm>

#include "sync/message.h"

namespace orchard::sync {

Prediction Predict(const PredictOptions& o) {
  const double bytes = BytesSent({.reduced = o.params}, static_cast<int>(o.world), o.element_bytes);
  const double latency = 2e-6 * static_cast<double>(o.world - 1) * o.latency_us;
  const double compute = 1e-3 * o.compute_ms, overlap = 1e-3 * o.overlap_ms;
  const auto step = [&](double ratio) {
    StepPrediction p;
    p.ratio = ratio;
    p.bytes = bytes / ratio;
    p.wire_seconds = p.bytes * 8 / o.bandwidth;
    p.seconds = compute + std::max(0.0, p.wire_seconds - overlap) + latency;
    return p;
  };
  Prediction prediction;
  const double dense = step(1).seconds;
  for (const double ratio : o.ratios) {
    prediction.steps.push_back(step(ratio));
    prediction.steps.back().speedup = dense / prediction.steps.back().seconds;
  }
  const double hidden = overlap + 0.05 * (compute + latency);
  if (hidden > 0) prediction.break_even_bandwidth = bytes * 8 / hidden;
  return prediction;
}

}  // namespace orchard::sync
