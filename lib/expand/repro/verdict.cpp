#include "expand/repro/verdict.h"

#include <cmath>

namespace orchard::expand::repro {
namespace {

bool Meets(double value, const Expectation& expected) {
  return expected.relation == Relation::kAtMost ? value <= expected.limit : value >= expected.limit;
}

}  // namespace

run::Verdict Judge(const Measurement& measurement) {
  if (!measurement.expected) return run::Verdict::kAsItCameOut;
  const Expectation& expected = *measurement.expected;
  const Estimate& value = measurement.value;
  if (!std::isfinite(value.mean)) return run::Verdict::kFail;
  const bool low = Meets(value.low, expected), high = Meets(value.high, expected);
  if (low && high) return run::Verdict::kPass;
  if (expected.promised || (!low && !high)) return run::Verdict::kFail;
  return run::Verdict::kAsItCameOut;
}

run::Verdict ExperimentResult::verdict() const {
  bool all = true, any = false;
  for (const Measurement& m : measurements) {
    if (!m.expected) continue;
    any = true;
    const run::Verdict verdict = Judge(m);
    if (verdict == run::Verdict::kFail && m.expected->promised) return run::Verdict::kFail;
    all = all && verdict == run::Verdict::kPass;
  }
  return any && all ? run::Verdict::kPass : run::Verdict::kAsItCameOut;
}

std::string Text(const Expectation& expectation) {
  return (expectation.relation == Relation::kAtMost ? "at most " : "at least ") +
         Text(Single(expectation.limit));
}

}  // namespace orchard::expand::repro
