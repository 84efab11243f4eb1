// What CSER and its special cases share: the two compressors, and when each of them draws. Private
// to this module.
#pragma once

#include <memory>

#include "sync/compressor.h"
#include "sync/make_algorithm.h"

namespace orchard::sync {

template <class T>
class CserSchedule {
 public:
  // `alternating`: a reset sends C1 in place of C2, so draws of C2 are counted without the resets
  // and its cycles have no gaps. Else C2 draws in every step.
  CserSchedule(const AlgorithmSetting& s, bool alternating)
      : alternating_(alternating),
        interval_(s.resolved.interval),
        momentum_sync_(s.algorithm.momentum_sync),
        second_moment_sync_(s.algorithm.second_moment_sync),
        c1_(MakeStagedCompressor<T>(
            s.resolved.c1, s.layout, s.resolved.c1_selector, s.seed, "C1", s.stages,
            [&](int64_t t) { return (t - 1) / interval_; }, s.device)),
        c2_(MakeStagedCompressor<T>(
            s.resolved.c2, s.layout, s.resolved.c2_selector, s.seed, "C2", s.stages,
            [&](int64_t t) { return StepDraw(t); }, s.device)) {}

  bool IsReset(int64_t step) const { return step % interval_ == 0; }
  int64_t ResetDraw(int64_t step) const { return step / interval_ - 1; }
  int64_t StepDraw(int64_t step) const {
    return alternating_ ? step - 1 - (step - 1) / interval_ : step - 1;
  }
  Compressor<T>& c1() const { return *c1_; }
  Compressor<T>& c2() const { return *c2_; }

  // What C1 selects in a step that is a reset, else nothing.
  Selection Resets(int64_t step) const {
    return IsReset(step) ? *c1_->CommonSupport(ResetDraw(step)) : Selection{};
  }
  Selection Steps(int64_t step) const { return *c2_->CommonSupport(StepDraw(step)); }
  // What is sent where a reset takes the place of C2.
  Selection Alternating(int64_t step) const { return IsReset(step) ? Resets(step) : Steps(step); }

  // Whether the first or second moment of what is sent is averaged, too.
  bool SendsMomenta(int64_t step) const { return Sends(momentum_sync_, step); }
  bool SendsSecondMoments(int64_t step) const { return Sends(second_moment_sync_, step); }

 private:
  bool Sends(MomentumSync sync, int64_t step) const {
    return sync == MomentumSync::kBlocks || (sync == MomentumSync::kReset && IsReset(step));
  }

  bool alternating_;
  int64_t interval_;
  MomentumSync momentum_sync_, second_moment_sync_;
  std::unique_ptr<Compressor<T>> c1_, c2_;
};

}  // namespace orchard::sync
