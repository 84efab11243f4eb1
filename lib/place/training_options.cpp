#include "place/training_options.h"

#include <charconv>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

constexpr int32_t kMaxMicrobatches = 1024;

}  // namespace

std::vector<int32_t> TrainingOptions::MicrobatchCounts() const {
  if (microbatches == "auto") return {1, 2, 4, 8, 16, 32};
  int32_t count = 0;
  const char* end = microbatches.data() + microbatches.size();
  const auto result = std::from_chars(microbatches.data(), end, count);
  if (result.ec != std::errc() || result.ptr != end || count < 1 || count > kMaxMicrobatches) {
    throw UsageError(io::Quoted(microbatches) + " is no number of micro-batches", "--microbatches",
                     "auto, or from 1 to 1024");
  }
  return {count};
}

StepOptions TrainingOptions::ForStep(Optimizer optimizer, int32_t count) const {
  return {.microbatches = count,
          .optimizer = optimizer,
          .launch_us = launch_us,
          .backward_ratio = backward_ratio,
          .bandwidth_gb_per_s = bandwidth};
}

}  // namespace orchard::place
