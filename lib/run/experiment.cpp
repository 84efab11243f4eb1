#include "run/experiment.h"

#include <cmath>

namespace orchard::run {
namespace {

bool Meets(double value, const Expectation& expected) {
  return expected.relation == Relation::kAtMost ? value <= expected.limit : value >= expected.limit;
}

}  // namespace

Verdict Judge(const Measurement& measurement) {
  if (!measurement.expected) return Verdict::kAsItCameOut;
  const Expectation& expected = *measurement.expected;
  const Estimate& value = measurement.value;
  if (!std::isfinite(value.mean)) return Verdict::kFail;
  const bool low = Meets(value.low, expected), high = Meets(value.high, expected);
  if (low && high) return Verdict::kPass;
  if (expected.promised || (!low && !high)) return Verdict::kFail;
  return Verdict::kAsItCameOut;
}

Verdict ExperimentResult::verdict() const {
  bool all = true, any = false;
  for (const Measurement& m : measurements) {
    if (!m.expected) continue;
    any = true;
    const Verdict verdict = Judge(m);
    if (verdict == Verdict::kFail && m.expected->promised) return Verdict::kFail;
    all = all && verdict == Verdict::kPass;
  }
  return any && all ? Verdict::kPass : Verdict::kAsItCameOut;
}

std::string Text(const Expectation& expectation) {
  return (expectation.relation == Relation::kAtMost ? "at most " : "at least ") +
         Text(Single(expectation.limit));
}

}  // namespace orchard::run
