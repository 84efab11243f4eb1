// What an experiment claims, what came out over several seeds, and whether the one bears out the
// other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run/estimate.h"
#include "run/report.h"

namespace orchard::run {

enum class Relation { kAtMost, kAtLeast };

struct Expectation {
  Relation relation = Relation::kAtMost;
  double limit = 0;
  // A property of the program: missing it is a failure. Otherwise a finding of the literature,
  // which may come out otherwise at another size.
  bool promised = true;
};

struct Measurement {
  std::string name, unit;
  Estimate value;
  std::optional<Expectation> expected;
};

// Passes when the whole interval meets the limit. A promise fails when any of the interval does
// not; a finding fails when none of it does, and in between the runs do not tell. A value that is
// not a number never passes. Without an expectation: as it came out.
Verdict Judge(const Measurement& measurement);

struct ExperimentResult {
  std::string name;   // "R1"
  std::string title;  // "Lossless sweep"
  std::string claim;
  std::vector<Measurement> measurements;
  std::vector<Table> tables;
  std::vector<Chart> charts;
  std::vector<std::string> notes;
  double seconds = 0;

  // Fails with a promise that failed; passes when all that is expected passed; else as it came out.
  Verdict verdict() const;
};

// "at most 1e-11".
std::string Text(const Expectation& expectation);

}  // namespace orchard::run
