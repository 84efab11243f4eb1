// Probabilities of classes on the image's own grid, for those who want more than the leading one.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "segment/predictor.h"

namespace orchard::segment {

// A sink of Predictor::Segment that gathers all logits, [K + 1, image.size].
Predictor::Sink KeepLogits(const PreparedImage& image, const Plan& plan,
                           std::vector<float>& logits);

// Softmax of the logits, interpolated as labels are made: [K + 1, frame.whole]. What was cut off is
// background.
std::vector<float> Probabilities(const std::vector<float>& logits, const PreparedImage& image,
                                 const Plan& plan, ThreadPool& pool);

}  // namespace orchard::segment
