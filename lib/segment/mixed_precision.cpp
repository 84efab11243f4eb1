#include "segment/mixed_precision.h"

#include <algorithm>

#include "base/error.h"

namespace orchard::segment {
namespace {

constexpr double kFirstFactor = 65536, kLargestFactor = 16777216;
constexpr int64_t kStepsToGrow = 2000;

}  // namespace

at::ScalarType ComputeType(Amp amp, c10::Device device) {
  switch (amp) {
    case Amp::kAuto:
      return device.is_cpu() ? at::kFloat : at::kBFloat16;
    case Amp::kOff:
      return at::kFloat;
    case Amp::kBf16:
      return at::kBFloat16;
    case Amp::kFp16:
      break;
  }
  if (device.is_cpu()) throw UsageError("fp16 needs a GPU", "--amp", "--amp bf16 or off");
  return at::kHalf;
}

LossScale::LossScale(at::ScalarType compute)
    : active_(compute == at::kHalf), factor_(active_ ? kFirstFactor : 1) {}

void LossScale::Restore(double factor, int64_t good_steps) {
  if (!active_) return;
  factor_ = factor;
  good_steps_ = good_steps;
}

void LossScale::Succeeded() {
  if (!active_ || ++good_steps_ < kStepsToGrow) return;
  factor_ = std::min(2 * factor_, kLargestFactor);
  good_steps_ = 0;
}

bool LossScale::Shrink() {
  if (!active_ || factor_ <= 1) return false;
  factor_ /= 2;
  good_steps_ = 0;
  return true;
}

}  // namespace orchard::segment
